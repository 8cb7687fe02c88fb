"""A stand-in for OpenWrt's userland: uci, reload_config, procd, netifd with hostapd, rpcd and the `ubus` command; as recorded, else as the sources have it.

    from tests.fakes.openwrt.userland.box import Box

    with Box(tmp_path / "box", "rig-x86") as box:      # a board of tests/devices; no root needed; a second of the daemons' is `pace` of ours
    with netns_world(LiveBoard("rig-x86")) as inside, Box(inside.world.folder, inside=inside) as box:      # with real devices

Paths, all below `box.folder`; the programs know their box by where they lie, so their command lines are those of a real one:
    box.config     etc/config: real UCI files          box.save   tmp/.uci: what is staged (uci's default save directory)
    box.override   var/run/uci: 24.10's override in RAM (not there until somebody makes it)
    box.rpcd       var/run/rpcd: sessions; snapshot-files while an apply of LuCI's waits (a killed rpcd leaves it)
    box.bin        uci, ubus, reload_config, wifi, jsonfilter, logread;  box.path: a PATH that begins with it;  box.environment
    box.init_d     etc/init.d: a program for each service;  box.socket: ubusd's.  box.world, box.ubusd, box.board: as ever

Truth, for tests only:
    box.on_air() -> {ifname: netifd.OnAir}     box.staged("wireless") as `uci changes`     box.show("wireless") as `uci show`
    box.value("wireless.default_radio0.ssid"): on flash     box.uci("set", …), box.run("sh", "-c", …) -> CompletedProcess     box.log()
    box.reloads: how often the wireless half was set up     box.events: what procd was told     box.calls(): programs started
    box.wait_for(condition)   box.settle(): netifd has nothing to do (not while a service runs)   box.settle_triggers()
Who else changes things:
    box.technician("set wireless.radio0.channel=6", reload=True)      box.stage("set system.@system[0].notes=x"): left staged
    box.technician_at(moment, *lines, reload=False)   "commit" (the next uci commit begins), "reload" (procd is told), "rendered", "on_air"
    box.luci_apply("wireless", "set …", timeout_s=30) -> Pending: .confirm(), .roll_back(), .is_over; takes itself back.  box.rpcd_daemon.kill()
Faults, attributes of box.faults, set and taken back at any time:
    reload_hangs (bool), netifd_deaf (bool), hostapd_refuses (set of radios), channel_is ({radio: number}), dfs_s ({radio: seconds of ours}),
    never_on_air (set of SSIDs), delay_s, absent_s (seconds of ours until a reload is done; that a network is gone between)
    uci_slow_s, uci_fails (set of commands), read_only (commit: exit 1), commit_lies (exit 0, old file), disk_full (exit 0, short file), lost_commit
    box.kill_procd(), box.start_procd();   box.ubusd.kill(), .restart(without=…), .freeze(), .hold("uci") as ever
A package (needs root: the box's folder becomes / of a mount and a network namespace; see chroot.py and rc/):
    box.install(tree)   a tree with its modes, nothing run     box.root.install_agent(): this tree's agent as .pyc, /usr/libexec/rwagent, its programs
    box.init(name, action)   box.hotplug("net", ACTION="add", …)   box.boot() -> [(link, ended)]   box.sysupgrade() -> [file that survives]
    box.root.run(program, …, user=None, **env)   as there: BusyBox ash, OpenWrt's PATH and applets, a `sleep` of whole seconds     box.root.processes()
    box.procd.config(name), .triggers(name): what an init script told;  .scripts: what triggers ran;  box.read_acl(): ubusd's SIGHUP
Services without an init script of their own:
    box.service("rwagent-apply", [argv…], trigger="rwagent.push", reload_on=(), respawn=None, env={}, …)
    box.procd.is_running(name), .pid(name), .starts[name], .exit_code(name), .status(name)
"""
