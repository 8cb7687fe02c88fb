'use strict';
'require view';
'require fs';
'require uci';
'require dom';
'require poll';
'require rwagent.rules as rules';
'require rwagent.said as said';
'require rwagent.words as words';

/*
 * How the agent is: whether the city hears it, which configuration is in force and how the last push ended, clients, bandwidth caps. Changes nothing.
 * Everything shown comes from the router and ends in text nodes.
 */

const COMMAND = '/usr/libexec/rwagent/luci-status';
const EVERY_S = 5;
/* The daemon writes every 15 s at the latest; on a busy router late. */
const STALE_S = 90;
const DAY_S = 86400;
const EXPIRY_DAYS = 30;

const RATES = [ 'down_kbit', 'up_kbit', 'station_down_kbit', 'station_up_kbit' ];

function row(label, value) {
	return E('tr', { 'class': 'tr' }, [
		E('td', { 'class': 'td left', 'width': '33%' }, [ label ]),
		E('td', { 'class': 'td left' }, [ (value == null) ? _('not known') : String(value) ])
	]);
}

function section(title, children) {
	return E('div', { 'class': 'cbi-section' }, [ E('h3', {}, [ title ]), ...children ]);
}

function facts(title, rows) {
	return section(title, [ E('table', { 'class': 'table' }, rows) ]);
}

function grid(title, heads, rows, empty) {
	if (!rows.length)
		return section(title, [ E('p', {}, [ E('em', {}, [ empty ]) ]) ]);

	return section(title, [
		E('table', { 'class': 'table' }, [
			E('tr', { 'class': 'tr table-titles' }, heads.map(head => E('th', { 'class': 'th' }, [ head ]))),
			/* On a phone the heads are hidden, and each cell says its own. */
			...rows.map(cells => E('tr', { 'class': 'tr' }, cells.map((cell, place) => E('td', { 'class': 'td', 'data-title': heads[place] }, [ String(cell) ]))))
		])
	]);
}

function list(lines) {
	/* The theme has items of lists in grey. */
	return E('ul', {}, lines.map(line => E('li', { 'style': 'color:inherit' }, [ line ])));
}

function warning(text) {
	return E('div', { 'class': 'alert-message warning' }, [ E('p', {}, [ text ]) ]);
}

function number_or(value, other) {
	const found = said.number(value);

	return (found == null) ? other : found;
}

/* Seconds since the daemon wrote; null: it wrote nothing that can be understood. */
function age_of(seen) {
	const then = said.number(said.table(seen.daemon, 'table').uptime_s);

	return (then == null || seen.uptime_s == null) ? null : Math.max(0, seen.uptime_s - then);
}

function is_running(seen) {
	const age = age_of(seen);

	return age != null && age < STALE_S && said.table(said.table(seen.daemon, 'table'), 'broker').state != 'stopped';
}

/* What safe mode is about, as the daemon tells it; null when it is off. */
function safe_mode(daemon) {
	if (daemon.safe_mode == null || daemon.safe_mode === false)
		return null;

	const told = said.table(daemon, 'safe_mode'), again = said.number(told.tries_again_in_s);
	const lines = [ _('Safe mode: the agent crashed again and again (%s times). It takes pushes and measures nothing.').format(number_or(told.crashes, '?')) ];

	if (said.text(told.last_crash) != null)
		lines.push(_('Last crash: %s.').format(said.text(told.last_crash)));

	if (again != null)
		lines.push(_('It tries to run normally again within %s.').format(said.span(again)));

	return lines.join(' ');
}

function warnings(seen, wanted) {
	const daemon = said.table(seen.daemon, 'table'), safe = safe_mode(daemon), found = [];

	if (!wanted.city || !wanted.host)
		found.push(_('This router is not enrolled: the agent waits for the bundle of this access point (page Enrolment).'));
	else if (!wanted.is_enabled)
		found.push(_('The agent is turned off (page Settings).'));
	else if (seen.daemon.is_there && seen.daemon.table == null)
		found.push(_('What the agent says of itself is damaged.'));
	else if (!seen.daemon.is_there)
		found.push(_('The agent does not run: it has said nothing since the router started. Look at the log: logread -e rwagent.'));
	else if (!is_running(seen))
		found.push(_('The agent does not run; its last word is %s old and stands below. Look at the log: logread -e rwagent.').format(said.span(age_of(seen))));

	if (safe != null)
		found.push(safe);

	if (seen.config.is_there && seen.config.table == null)
		found.push(_('What the router says of pushes is damaged.'));

	if (seen.caps.is_there && seen.caps.table == null)
		found.push(_('What the router says of bandwidth caps is damaged.'));

	return found;
}

function certificate(ends, now_s) {
	if (said.number(ends) == null)
		return null;

	const days = Math.floor((ends - now_s) / DAY_S);

	if (days < 0)
		return _('expired on %s; enrol anew').format(said.day(ends));

	return (days < EXPIRY_DAYS)
		? _('until %s, only %s days more; enrol anew').format(said.day(ends), days)
		: _('until %s').format(said.day(ends));
}

function identity(seen, wanted) {
	const who = said.table(said.table(seen.daemon, 'table'), 'who');

	return facts(_('Access point'), [
		row(_('Identifier'), said.text(who.ap) || said.text(wanted.id)),
		row(_('City'), said.text(who.city) || said.text(wanted.city)),
		row(_('Certificate'), certificate(who.certificate_ends, Date.now() / 1000)),
		row(_('Version of the agent'), said.text(who.agent))
	]);
}

function broker_state(broker, seen) {
	const since = number_or(broker.since_s, null);
	const span = said.span((since == null) ? null : since + (age_of(seen) || 0));

	if (!is_running(seen))
		return _('not connected: the agent does not run');

	if (broker.state == 'connected')
		return _('connected for %s').format(span);

	return _('not connected for %s (%s)').format(span, words.link(said.text(broker.state)) || said.text(broker.state) || '?');
}

function broker(seen, wanted) {
	const of = said.table(said.table(seen.daemon, 'table'), 'broker');
	const next = said.number(of.next_attempt_in_s);
	const rows = [
		row(_('State'), broker_state(of, seen)),
		row(_('Host'), said.text(of.host) ? `${said.text(of.host)}:${number_or(of.port, '?')}` : said.text(wanted.host))
	];

	if (of.state == 'connected')
		rows.push(row(_('Protocol'), said.text(of.protocol) && `MQTT ${said.text(of.protocol)}`));
	else
		rows.push(row(_('Attempts'), (next == null)
			? number_or(of.attempts, null)
			: _('%s, the next one within %s').format(number_or(of.attempts, '?'), said.span(next))));

	rows.push(row(_('Last error'), (of.last_reason === '') ? _('none') : said.text(of.last_reason)));
	rows.push(row(_('Reconnects'), number_or(of.reconnects, null)));

	return facts(_('Broker'), rows);
}

function verdict(reported) {
	const state = said.text(reported.state);

	if (state == null)
		return _('no push yet');

	const reason = said.text(reported.reason), why = words.reason(reason), revision = said.number(reported.revision);
	const line = [ (revision == null) ? _('a push without a revision') : _('revision %s').format(revision), `${state}:` ];

	line.push(words.state(state) || _('unknown to this page'));

	if (reason != null)
		line.push((why == null) ? `(${reason})` : `(${reason}: ${why})`);

	return line.join(' ');
}

function fault_lines(reported) {
	const lines = said.rows(reported, 'errors').map(fault =>
		[ said.text(fault.path), said.text(fault.message) || said.text(fault.code) ].filter(part => part != null).join(': '));
	const more = said.number(reported.errors_left_out);

	return (more > 0) ? [ ...lines, _('and %s more').format(more) ] : lines;
}

function configuration(seen) {
	const config = said.table(seen.config, 'table'), reported = said.table(config, 'reported');
	const faults = fault_lines(reported), drift = said.rows(reported, 'drift').map(one => said.text(one.path) || '?');
	const current = said.number(reported.current);
	const is_damaged = seen.config.is_there && seen.config.table == null;
	const rows = [
		row(_('In force'), is_damaged ? null : (current == null) ? _('no revision of the city\'s yet') : _('revision %s').format(current)),
		row(_('Last push'), is_damaged ? null : verdict(reported))
	];

	if (said.number(reported.at) != null)
		rows.push(row(_('Judged on'), `${said.day(reported.at)} (UTC)`));

	if (reported.held === true || config.held === true)
		rows.push(row(_('Held back'), _('not tried again: push a higher revision')));

	if (reported.foreign_edit === true)
		rows.push(row(_('Edited by somebody else'), _('in the meantime; only what is the city\'s was taken back')));

	return section(_('Configuration'), [
		E('table', { 'class': 'table' }, rows),
		...(faults.length ? [ E('p', {}, [ _('Faults in it:') ]), list(faults) ] : []),
		...(drift.length ? [ E('p', {}, [ _('Not as the revision in force says:') ]), list(drift) ] : [])
	]);
}

function clients(seen) {
	const report = said.table(said.table(seen.daemon, 'table'), 'report');
	const now = said.number(said.table(report, 'stations').now);
	const rows = said.rows(report, 'bss').map(bss => [
		said.text(bss.ssid) || _('(no name)'), said.text(bss.band) || '?', said.text(bss.ifname) || '?',
		(bss.up === true) ? _('on the air') : _('off'), number_or(bss.stations, '?')
	]);

	return grid((now == null) ? _('Clients now') : _('Clients now: %s').format(now),
		[ _('SSID'), _('Band'), _('Interface'), _('State'), _('Clients') ], rows,
		said.number(report.seq) ? _('No Wi-Fi here, or none that answers.') : _('Not known: the agent has measured nothing yet.'));
}

function rate(kbit) {
	return (said.number(kbit) == null) ? '-' : _('%s Mbit/s').format(kbit / 1000);
}

function standing(seen) {
	const report = said.table(said.table(seen.daemon, 'table'), 'report'), caps = said.table(report, 'caps');
	const error = said.text(said.table(seen.caps, 'table').error), missing = said.texts(caps, 'missing');
	const lines = [];

	if (error != null)
		lines.push(_('The router could not set them: %s').format(error));

	if (caps.standing === true)
		lines.push(_('They stand.'));
	else if (caps.standing === false)
		lines.push(missing.length ? _('They do not stand: %s').format(missing.join('; ')) : _('They do not stand.'));
	else
		lines.push(_('Whether they stand is not known yet.'));

	if (caps.bypassed === true)
		lines.push(_('Hardware flow offload goes past them: turn it off (Network, Firewall).'));

	return lines;
}

function caps(seen) {
	const wanted = said.rows(said.table(seen.caps, 'table'), 'wanted');
	const rows = wanted.map(cap => [
		said.text(cap.ssid) || _('uplink (%s)').format(said.text(cap.uplink) || '?'),
		...RATES.map(option => rate(cap[option])),
		said.texts(cap, 'ifnames').join(' ') || said.text(cap.uplink) || '-'
	]);
	const drawn = grid(_('Bandwidth caps'),
		[ _('Network'), _('Down'), _('Up'), _('Down per client'), _('Up per client'), _('Devices') ], rows, _('None is wanted.'));

	if (rows.length || said.text(said.table(seen.caps, 'table').error) != null)
		drawn.appendChild(list(standing(seen)));

	return drawn;
}

function waiting(seen) {
	const daemon = said.table(seen.daemon, 'table'), outbox = said.table(daemon, 'outbox');
	const dropped = said.number(outbox.dropped), alerts = said.texts(daemon, 'alerts');
	const rows = [
		row(_('Waiting for the city'), (said.number(outbox.count) == null)
			? null
			: _('%s (%s bytes)').format(outbox.count, number_or(outbox.bytes, '?'))),
		row(_('Alerts'), alerts.join(', ') || (Array.isArray(daemon.alerts) ? _('none') : null))
	];

	if (dropped > 0)
		rows.push(row(_('Lost for want of room'), dropped));

	return facts(_('Messages'), rows);
}

/* Puts anew only what changed: elsewhere a selection stays, and the place where somebody reads. */
function redraw(body, drawn) {
	if (body.children.length != drawn.length)
		dom.content(body, drawn);
	else
		drawn.forEach((node, place) => {
			if (!node.isEqualNode(body.children[place]))
				body.replaceChild(node, body.children[place]);
		});
}

return view.extend({
	/* Asks the router; never fails: what went wrong is shown. */
	look: function() {
		return fs.exec(COMMAND, []).then(
			res => (res.code === 0 || res.stdout) ? said.parse(res.stdout) : Object.assign(said.parse(''), { error: said.text(res.stderr) || _('code %s').format(res.code) }),
			err => Object.assign(said.parse(''), { error: said.text(err && err.message) || '?' }));
	},

	/* What the settings say of this router. */
	wanted: function() {
		return {
			id: uci.get('rwagent', 'agent', 'id'),
			city: uci.get('rwagent', 'agent', 'city'),
			host: uci.get('rwagent', 'broker', 'host'),
			is_enabled: rules.flag(uci.get('rwagent', 'main', 'enabled')) != '0'
		};
	},

	/* Without an answer, what the router said before; when it never said anything, nothing is claimed. */
	draw: function(seen) {
		const wanted = this.wanted();

		if (seen.error == null)
			this.heard = seen;

		if (this.heard == null)
			return [ warning(_('The router does not say how the agent is: %s').format(seen.error)) ];

		const found = (seen.error == null)
			? warnings(seen, wanted)
			: [ _('The router does not say how the agent is: %s. What stands below it said before.').format(seen.error) ];

		return [
			...found.map(warning),
			identity(this.heard, wanted), broker(this.heard, wanted), configuration(this.heard), clients(this.heard), caps(this.heard), waiting(this.heard)
		];
	},

	load: function() {
		return Promise.all([ this.look(), L.resolveDefault(uci.load('rwagent')) ]);
	},

	render: function(loaded) {
		const body = E('div', {}, this.draw(loaded[0]));

		poll.add(() => this.look().then(seen => redraw(body, this.draw(seen))), EVERY_S);

		return E('div', {}, [ E('h2', {}, [ _('City Wi-Fi agent') ]), body ]);
	},

	handleSave: null,
	handleSaveApply: null,
	handleReset: null
});
