'use strict';
'require baseclass';

/* What the city's words for a push (agent/wire/config.py) and the daemon's for its connection (agent/broker.py) mean, for people. */

const STATES = {
	received: _('the router has it'),
	applying: _('being put in place'),
	testing: _('being tried: it stays only if the broker is reached through it'),
	confirmed: _('in force'),
	unchanged: _('in force, and nothing had to be changed for it'),
	rejected: _('not taken'),
	rolled_back: _('tried and taken back'),
	failed: _('neither it nor what was before could be established: somebody has to look')
};

const REASONS = {
	oversize: _('it is too large'),
	malformed: _('it is not in the form of a push'),
	unknown_key: _('it is signed with a key that this router does not trust'),
	bad_signature: _('its signature is wrong'),
	wrong_city: _('it is for another city'),
	wrong_ap: _('it is for another access point'),
	wrong_kind: _('it is signed for another purpose'),
	stale: _('a newer revision was here already'),
	conflict: _('the same revision had another content'),
	jump: _('its revision is too far ahead'),
	invalid: _('its content breaks a rule'),
	busy: _('somebody else was changing the configuration'),
	too_soon: _('it came too soon after the last one'),
	unsupported: _('this router cannot do it'),
	broker_unreachable: _('the broker was not reached through it'),
	not_on_air: _('an SSID was not on the air'),
	wrong_channel: _('a radio was not on its channel'),
	reload_failed: _('the router could not reload'),
	write_failed: _('a file could not be written'),
	read_back: _('the files did not say what was written'),
	applier_died: _('the program that puts it in place died'),
	reboot: _('the router restarted during the trial'),
	superseded: _('a newer one came'),
	caps_not_standing: _('its bandwidth caps did not stand'),
	not_resolving: _('names were not resolved through its DNS'),
	could_not_restore: _('what was before could not be put back'),
	state_lost: _('what the router remembered of it is lost')
};

const LINKS = {
	waiting: _('waiting'),
	connecting: _('connecting')
};

function known(table, name) {
	return Object.prototype.hasOwnProperty.call(table, name) ? table[name] : null;
}

return baseclass.extend({
	/* How a push stands; null for a state that is not known here. */
	state: function(name) {
		return known(STATES, name);
	},

	/* Why; null for a reason that is not known here. */
	reason: function(name) {
		return known(REASONS, name);
	},

	/* What a daemon without a connection does; null for a word that is not known here. */
	link: function(name) {
		return known(LINKS, name);
	}
});
