'use strict';
'require view';
'require form';
'require uci';
'require rwagent.rules as rules';

/* The agent's own settings, /etc/config/rwagent. What is left empty keeps the default, which stands in the field in grey. */

const TITLES = {
	agent: [ _('Access point'), _('Who this access point is. Enrolment sets both; another name here does not make it another access point.') ],
	broker: [ _('Broker'), _('The city\'s message broker, and what proves who this access point is. Enrolment sets all of it but the keepalive.') ],
	report: [ _('Reports'), _('What the city hears, and how often. The city may push other intervals.') ],
	probe: [ _('Uplink test'), _('Small questions that show whether the way to the internet works.') ],
	router: [ _('Router'), _('Where the agent finds things on this router, and what pushes may touch.') ],
	push: [ _('Pushed configuration'), _('Where the keys lie with which the city\'s pushes are checked.') ],
	outbox: [ _('Waiting messages'), _('What the city has not acknowledged yet waits in RAM.') ]
};

const SWITCHES = {
	enabled: [ _('Enabled'), _('Whether the agent runs.') ],
	jail: [ _('Jail'), _('Keep the agent where it sees only the files it needs. Off only to look for a fault.') ]
};

const TEXTS = {
	'agent.id': [ _('Identifier'), _('1 to 48 of a-z, 0-9 and -. Empty: the name in the certificate.') ],
	'agent.city': [ _('City'), _('1 to 48 of a-z, 0-9 and -.') ],
	'broker.host': [ _('Host'), _('Name or IP address, without port; the broker\'s certificate must be for it.') ],
	'broker.port': [ _('Port'), _('Empty: 8883, without TLS 1883.') ],
	'broker.tls': [ _('TLS'), _('Off only for a broker on this router itself, or with plain text allowed.') ],
	'broker.allow_plaintext': [ _('Allow plain text'), _('Telemetry and password then cross the network readable.') ],
	'broker.ca_file': [ _('CA file'), _('The city\'s one authority; no other is believed. Empty: /etc/rwagent/ca.pem.') ],
	'broker.cert_file': [ _('Certificate'), _('Empty: /etc/rwagent/client.pem, unless a password is set.') ],
	'broker.key_file': [ _('Private key'), _('Empty: /etc/rwagent/client.key, unless a password is set.') ],
	'broker.username': [ _('User name'), _('For a broker with passwords. Empty: the identifier.') ],
	'broker.password_file': [ _('Password file'), _('Its first line is the password; nobody else may read it. The password itself is never shown here.') ],
	'broker.keepalive_s': [ _('Keepalive'), _('Seconds, 5 to 600; a dead connection is found within two of them.') ],
	'report.interval_s': [ _('Report interval'), _('Seconds between reports, 1 to 3600.') ],
	'report.sample_s': [ _('Sample interval'), _('Seconds between readings, 1 to the report interval. Empty: 10, or the report interval where that is less.') ],
	'report.encoding': [ _('Encoding'), _('"deflate" takes a third of the bytes, for uplinks paid by volume.') ],
	'report.peaks': [ _('Measure peaks'), _('Read the counters each second, for the highest throughput.') ],
	'probe.interval_s': [ _('Interval'), _('Seconds between tests, 1 to 3600; 0 turns them off.') ],
	'probe.dns_name': [ _('Name to resolve'), _('Empty: the broker\'s name.') ],
	'probe.internet': [ _('Hosts to reach'), _('"host:port" or "[address]:port", at most 8. Empty: the broker.') ],
	'router.uplink': [ _('Uplink'), _('A network device or the name of an interface such as wan. "auto": wan, else where the default route leads.') ],
	'router.public_network': [ _('Public network'), _('The network that pushed SSIDs attach to. Empty: pushes can create none. Guests must not reach the router or lan from it.') ],
	'router.contract_mbps': [ _('Contract'), _('Mbit/s that the provider promised, 0.25 to 100000.') ],
	'router.adopt': [ _('Adopted sections'), _('Sections of /etc/config/wireless that pushes may take over, at most 64.') ],
	'router.hostapd_dir': [ _('Sockets of hostapd'), _('Used on plain Linux only.') ],
	'router.ubus_socket': [ _('Socket of ubus'), _('Where ubusd listens.') ],
	'router.lease_file': [ _('DHCP leases'), _('Empty: the usual places.') ],
	'router.hostapd_config': [ _('Files of hostapd'), _('Used on plain Linux only.') ],
	'push.keys_dir': [ _('Trusted keys'), _('Public keys in usign\'s format. Without any, every push is rejected.') ],
	'push.secrets_dir': [ _('Secrets'), _('What a push may name as key_ref: a file each, for root alone.') ],
	'outbox.max_bytes': [ _('Room'), _('Bytes of RAM, 65536 to 16777216. When it is full, older reports are merged.') ]
};

function complaint(rule) {
	switch (rule.kind) {
	case 'whole':
		return _('Expected a whole number from %s to %s').format(rule.low, rule.high);

	case 'number':
		return rule.off
			? _('Expected a number from %s to %s, or 0 for off').format(rule.low, rule.high)
			: _('Expected a number from %s to %s').format(rule.low, rule.high);
	}

	switch (rule.test) {
	case 'name':
		return _('Expected 1 to 48 of a-z, 0-9 and -');

	case 'host':
		return _('Expected a host name or an IP address, without port or brackets');

	case 'endpoint':
		return _('Expected "host:port" or "[address]:port"');

	case 'path':
		return _('Expected an absolute path such as /etc/rwagent/ca.pem');

	case 'username':
		return _('Expected 1 to 256 characters without control characters');

	case 'device':
		return _('Expected the name of a network device or interface');

	case 'network':
		return _('Expected the name of a network');

	default:
		return _('Expected the name of a section: a-z, A-Z, 0-9 and _, not one that begins with cfg');
	}
}

/* What keys must be to each other; the agent refuses the rest of it with the same words. */
function across(option, section_id, value, rule) {
	if (section_id == 'report' && option.option == 'sample_s' && value) {
		const interval = option.section.formvalue(section_id, 'interval_s') || rules.tables.report.interval_s.preset;

		if (+value > +interval)
			return _('Expected at most the report interval, which is %s').format(interval);
	}

	if (section_id == 'broker' && option.option == 'host' && !rules.isLoopback(value)) {
		const given = key => option.section.formvalue(section_id, key);

		if (given('tls') == '0' && given('allow_plaintext') != '1')
			return _('Expected a broker on this router itself, for TLS is off: turn it on, or allow plain text');
	}

	return true;
}

/* What was typed below a list and not added: LuCI leaves it out unasked where it is not allowed. */
function typed(option, section_id) {
	const element = option.getUIElement(section_id), field = element ? element.node.querySelector('.add-item input') : null;

	return (field == null) ? '' : field.value;
}

/* A list's judge gets the item that is being typed; for the list as a whole, when it changes and when it is saved, it gets '' and has to ask for it itself. */
function validateList(rule) {
	return function(section_id, value) {
		const all = new Set([ ...L.toArray(this.formvalue(section_id)), typed(this, section_id), value ].filter(item => item.trim() != ''));

		if (![ ...all ].every(item => rules.isAllowed(rule, item)))
			return complaint(rule);

		return (all.size <= rule.most) ? true : _('Expected at most %s').format(rule.most);
	};
}

function validate(rule) {
	return function(section_id, value) {
		/* Before the enrolment, which fills them in, the rest can be set without them. */
		if (rule.required && !value)
			return uci.get('rwagent', section_id, this.option) ? _('This must be given') : true;

		if (!rules.isAllowed(rule, value))
			return complaint(rule);

		return across(this, section_id, value, rule);
	};
}

/* A form knows '1' and '0' only and would turn off what says "yes". */
function loadFlag(section_id) {
	return rules.flag(uci.get('rwagent', section_id, this.option));
}

/* One word of a choice is always chosen: the default stays out of the file, as with the other settings. */
function writeChoice(rule) {
	return function(section_id, value) {
		return uci.set('rwagent', section_id, this.option, (value == rule.preset) ? null : value);
	};
}

const CLASSES = { flag: form.Flag, choice: form.ListValue, list: form.DynamicList };

function addOption(section, table, key, rule) {
	const text = TEXTS[`${table}.${key}`];
	const o = section.option(CLASSES[rule.kind] || form.Value, key, text[0], text[1]);

	if (rule.kind == 'flag' || rule.kind == 'choice')
		o.default = rule.preset;
	else
		o.validate = (rule.kind == 'list') ? validateList(rule) : validate(rule);

	if (rule.kind == 'flag')
		o.load = loadFlag;

	if (rule.kind == 'choice') {
		rule.words.forEach(word => o.value(word));
		o.write = writeChoice(rule);
	}

	if (rule.kind == 'whole' || rule.kind == 'number' || rule.kind == 'text')
		o.placeholder = rule.preset || null;
}

return view.extend({
	load: function() {
		return uci.load('rwagent').then(() => {
			/* A section that is not there is not drawn; it reaches the file only when something is saved. */
			const types = Object.fromEntries(Object.keys(rules.tables).map(table => [ table, table ]));

			Object.entries(Object.assign({ main: 'rwagent' }, types)).forEach(([ name, type ]) => {
				if (uci.get('rwagent', name) == null)
					uci.add('rwagent', type, name);
			});
		});
	},

	render: function() {
		const m = new form.Map('rwagent', _('Settings of the agent'),
			_('What is left empty keeps its default. The agent takes changes at once; with a fault in them it goes on as before and says so in the log.'));

		let s = m.section(form.NamedSection, 'main', 'rwagent', _('Service'));

		Object.entries(SWITCHES).forEach(([ key, text ]) => {
			const o = s.option(form.Flag, key, text[0], text[1]);

			o.default = '1';
			o.rmempty = false;
			o.load = loadFlag;
		});

		Object.entries(rules.tables).forEach(([ table, keys ]) => {
			s = m.section(form.NamedSection, table, table, TITLES[table][0], TITLES[table][1]);
			Object.entries(keys).forEach(([ key, rule ]) => addOption(s, table, key, rule));
		});

		return m.render();
	}
});
