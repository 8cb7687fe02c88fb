'use strict';
'require baseclass';

/*
 * What each setting of the agent may be and its default: the same rules as agent/settings_rules.py, with which a test compares them.
 * Knows no texts and no form. Kinds: flag, choice, whole and number (low to high; off: 0 too), text (with the name of a test below), list.
 */

const TABLES = {
	agent: {
		id: { kind: 'text', test: 'name' },
		city: { kind: 'text', test: 'name', required: true }
	},
	broker: {
		host: { kind: 'text', test: 'host', required: true },
		port: { kind: 'whole', low: 1, high: 65535 },
		tls: { kind: 'flag', preset: '1' },
		allow_plaintext: { kind: 'flag', preset: '0' },
		ca_file: { kind: 'text', test: 'path' },
		cert_file: { kind: 'text', test: 'path' },
		key_file: { kind: 'text', test: 'path' },
		username: { kind: 'text', test: 'username' },
		password_file: { kind: 'text', test: 'path' },
		keepalive_s: { kind: 'whole', low: 5, high: 600, preset: '30' }
	},
	report: {
		interval_s: { kind: 'number', low: 1, high: 3600, preset: '60' },
		sample_s: { kind: 'number', low: 1, high: 3600 },
		encoding: { kind: 'choice', words: [ 'json', 'deflate' ], preset: 'json' },
		peaks: { kind: 'flag', preset: '0' }
	},
	probe: {
		interval_s: { kind: 'number', low: 1, high: 3600, off: true, preset: '60' },
		dns_name: { kind: 'text', test: 'host' },
		internet: { kind: 'list', test: 'endpoint', most: 8 }
	},
	router: {
		uplink: { kind: 'text', test: 'device', preset: 'auto' },
		public_network: { kind: 'text', test: 'network' },
		contract_mbps: { kind: 'number', low: 0.25, high: 100000, preset: '50' },
		adopt: { kind: 'list', test: 'section', most: 64 },
		hostapd_dir: { kind: 'text', test: 'path', preset: '/var/run/hostapd' },
		ubus_socket: { kind: 'text', test: 'path', preset: '/var/run/ubus/ubus.sock' },
		lease_file: { kind: 'text', test: 'path' },
		hostapd_config: { kind: 'text', test: 'path', preset: '/etc/hostapd' }
	},
	push: {
		keys_dir: { kind: 'text', test: 'path', preset: '/etc/rwagent/keys' },
		secrets_dir: { kind: 'text', test: 'path', preset: '/etc/rwagent/secrets' }
	},
	outbox: {
		max_bytes: { kind: 'whole', low: 65536, high: 16777216, preset: '524288' }
	}
};

/* Each pattern has a name: LuCI's minifier takes a slash behind "=>" or "return" for a division. */
const OCTET = /^(0|[1-9][0-9]{0,2})$/;
const GROUP = /^[0-9A-Fa-f]{1,4}$/;
const DIGITS = /^[0-9]+$/;
const ENDPOINT = /^(?:\[([^\]]*:[^\]]*)\]|([^:]*)):([0-9]{1,5})$/;
const NAME = /^[a-z0-9-]{1,48}$/;
const UNPRINTABLE = /[\p{C}\p{Z}]/u;
const USERNAME = /^[^\x00-\x1f\x7f]{1,256}$/u;
const DEVICE = /^[^\s\/:\x00-\x1f\x7f\x85]+$/;
const SECTION = /^[A-Za-z0-9_]{1,64}$/;
const PLACE = /^cfg[0-9a-f]{6}$/;
const BRIDGE = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$/;
const WHOLE = /^(0|[1-9][0-9]{0,8})$/;
const NUMBER = /^(0|[1-9][0-9]{0,8})(\.[0-9]{1,9})?$/;
const TRUE = [ '1', 'on', 'true', 'yes', 'enabled' ];
const FALSE = [ '0', 'off', 'false', 'no', 'disabled' ];
const LABEL = /^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/;

function isIPv4(text) {
	const parts = text.split('.');

	return parts.length == 4 && parts.every(part => OCTET.test(part) && +part <= 255);
}

function isIPv6(text) {
	const halves = text.split('::');
	const groups = half => (half == '') ? [] : half.split(':');

	if (halves.length > 2)
		return false;

	const all = halves.map(groups).flat();
	let count = all.length;

	if (all.length && all[all.length - 1].includes('.')) {
		if (!isIPv4(all.pop()))
			return false;

		/* Only at the very end: "1.2.3.4::" is none. */
		if (!/\.[0-9]+$/.test(text))
			return false;

		count++;
	}

	return all.every(group => GROUP.test(group)) && ((halves.length == 2) ? count <= 7 : count == 8);
}

function isHost(text) {
	if (text.includes(':'))
		return isIPv6(text);

	if (/[0-9]$/.test(text) && isIPv4(text))
		return true;

	const labels = text.replace(/\.$/, '').split('.');

	return text.length <= 253 && !DIGITS.test(labels[labels.length - 1]) && labels.every(label => LABEL.test(label));
}

function isEndpoint(text) {
	const parts = ENDPOINT.exec(text);

	return parts != null && +parts[3] >= 1 && +parts[3] <= 65535 && isHost((parts[1] != null) ? parts[1] : parts[2]);
}

const TESTS = {
	name: text => NAME.test(text),
	host: isHost,
	endpoint: isEndpoint,
	path: text => text.startsWith('/') && [ ...text ].length <= 4096 && !UNPRINTABLE.test(text.replace(/ /g, '')),
	username: text => USERNAME.test(text),
	device: text => new Blob([ text ]).size <= 15 && text != '.' && text != '..' && DEVICE.test(text),
	network: text => SECTION.test(text) || BRIDGE.test(text),
	section: text => SECTION.test(text) && !PLACE.test(text)
};

return baseclass.extend({
	tables: TABLES,

	/* A flag as a form has it, '1' or '0': by hand it may have been written in other words. Anything else stays as it is. */
	flag: function(value) {
		return TRUE.includes(value) ? '1' : FALSE.includes(value) ? '0' : value;
	},

	/* Says whether a connection to a host stays in this router. */
	isLoopback: function(host) {
		return host == 'localhost' || host == '::1' || (host.startsWith('127.') && isIPv4(host));
	},

	/* Says whether one value (of a list: one item) may stand; an empty one is left out of the file and stands for the default. */
	isAllowed: function(rule, value) {
		if (value == null || value === '')
			return !rule.required;

		switch (rule.kind) {
		case 'flag':
			return value == '0' || value == '1';

		case 'choice':
			return rule.words.includes(value);

		case 'whole':
			return WHOLE.test(value) && +value >= rule.low && +value <= rule.high;

		case 'number':
			return NUMBER.test(value) && ((+value >= rule.low && +value <= rule.high) || (rule.off == true && +value == 0));

		default:
			return TESTS[rule.test](value);
		}
	}
});
