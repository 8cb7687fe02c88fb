'use strict';
'require baseclass';

/*
 * What the router says of the agent (/usr/libexec/rwagent/luci-status), made fit to be shown. Everything in it may be missing, damaged or hostile: what is
 * asked of it here has the type that was asked for, or is null. Knows no page.
 */

const LONGEST = 240;
const MOST = 64;
const NAMES = [ 'uptime', 'config', 'caps' ];

function isTable(value) {
	return L.isObject(value) && !Array.isArray(value);
}

/* A document: { is_there, table }; a table that is null was there and could not be understood. */
function document_of(text) {
	if (text == null)
		return { is_there: false, table: null };

	try {
		const found = JSON.parse(text);

		return { is_there: true, table: isTable(found) ? found : null };
	}
	catch (e) {
		return { is_there: true, table: null };
	}
}

return baseclass.extend({
	/* Reads the output: uptime_s (null: not known), and config, caps and daemon as documents. */
	parse: function(output) {
		const texts = {};
		let rest = String((output == null) ? '' : output);

		/* What the daemon says is the last and to the end: no line break in it begins another's word. */
		for (let line; (line = /^([a-z]+) ([^\n]*)\n/.exec(rest)) != null && NAMES.includes(line[1]); rest = rest.slice(line[0].length))
			texts[line[1]] = line[2];

		if (rest.startsWith('daemon '))
			texts.daemon = rest.slice('daemon '.length);

		return {
			uptime_s: /^[0-9.]+$/.test(texts.uptime || '') ? this.number(+texts.uptime) : null,
			config: document_of(texts.config),
			caps: document_of(texts.caps),
			daemon: document_of(texts.daemon)
		};
	},

	/* A member that is a table, else an empty one. */
	table: function(owner, name) {
		return isTable(owner) && isTable(owner[name]) ? owner[name] : {};
	},

	/* The tables of a list, at most MOST. */
	rows: function(owner, name) {
		return isTable(owner) && Array.isArray(owner[name]) ? owner[name].filter(isTable).slice(0, MOST) : [];
	},

	/* The texts of a list, at most MOST. */
	texts: function(owner, name) {
		const list = isTable(owner) && Array.isArray(owner[name]) ? owner[name] : [];

		return list.slice(0, MOST).map(item => this.text(item)).filter(item => item != null);
	},

	/* Text of one line, shortened; what could turn or hide the rest of a line becomes a question mark. */
	text: function(value) {
		if (typeof(value) != 'string' || value == '')
			return null;

		const line = value.slice(0, 4 * LONGEST).replace(/\p{C}|\p{Zl}|\p{Zp}/gu, '?');

		return (line.length > LONGEST) ? `${line.slice(0, LONGEST)}…` : line;
	},

	/* A number from 0. */
	number: function(value) {
		return (typeof(value) == 'number' && Number.isFinite(value) && value >= 0) ? value : null;
	},

	/* A span of time by its two largest units. */
	span: function(seconds) {
		if (this.number(seconds) == null || seconds >= 1e10)
			return '?';

		const whole = Math.floor(seconds);
		const units = [ [ 86400, 3600, _('%s d %s h') ], [ 3600, 60, _('%s h %s min') ], [ 60, 1, _('%s min %s s') ] ];

		for (const [ size, less, words ] of units)
			if (whole >= size)
				return words.format(Math.floor(whole / size), Math.floor(whole % size / less));

		return _('%s s').format(whole);
	},

	/* A day in UTC of Unix seconds. */
	day: function(seconds) {
		return (this.number(seconds) == null || seconds >= 1e10) ? '?' : new Date(seconds * 1000).toISOString().slice(0, 10);
	}
});
