'use strict';
'require view';
'require fs';
'require ui';
'require uci';
'require dom';
'require rwagent.upload as upload';

/* Uploads the bundle that the city made for this access point, and lets the router enrol with it. There is a private key in the bundle: the
   router removes the file however it ends, and so does this page. */

const BUNDLE = '/var/run/rwagent-bundle.tar.gz';
/* agent/bundle.py refuses more, too; what is refused here never fills the router's RAM. */
const MOST_BYTES = 262144;
const ENROLL = '/usr/libexec/rwagent/luci-enroll';
/* So `rwagent enroll` ends its refusal of a bundle that is for another access point. */
const STRANGER = 'rwagent enroll --force';
const LONGEST = 4000;

/* What came from the router as text nodes, whatever is in it. */
function plain(value) {
	return String((value == null) ? '' : value).slice(0, LONGEST).replace(/[^\P{C}\n]/gu, '?').trim();
}

function paragraphs(text) {
	return text.split('\n').filter(line => line.trim() != '').map(line => E('p', {}, [ line ]));
}

function parsed(text) {
	try {
		const found = JSON.parse(text);

		return L.isObject(found) && !Array.isArray(found) ? found : {};
	}
	catch (e) {
		return {};
	}
}

function strings(value) {
	return Array.isArray(value) ? value.filter(item => typeof(item) == 'string').map(plain) : [];
}

function standing(id, city) {
	return city
		? _('This router is enrolled as %s of %s.').format(plain(id || _('the access point of its certificate')), plain(city))
		: _('This router is not enrolled yet: the agent waits for a bundle.');
}

return view.extend({
	load: function() {
		return L.resolveDefault(uci.load('rwagent'));
	},

	handleUpload: function(isForced) {
		return upload.ask(BUNDLE, MOST_BYTES)
			.then(isThere => isThere && this.enrol(isForced))
			.catch(err => this.tell(_('Not enrolled'), [ E('p', {}, [ _('The upload failed: %s.').format(plain(err && err.message)) ]) ]))
			.finally(() => L.resolveDefault(fs.remove(BUNDLE)));
	},

	enrol: function(isForced) {
		ui.showModal(_('Enrolling'), [ E('p', { 'class': 'spinning' }, [ _('The router checks the bundle and puts it in place.') ]) ]);

		return fs.exec(ENROLL, isForced ? [ '--force' ] : []).then(res => {
			const done = parsed(res.stdout);
			const said = plain(res.stderr) || plain(res.stdout);

			if (typeof(done.ap) == 'string')
				return this.tellDone(done);

			if (!isForced && said.includes(STRANGER))
				return this.askForce(said);

			return this.tell(_('Not enrolled'), said
				? paragraphs(said)
				: [ E('p', {}, [ _('The router gave no reason (code %s); look at its log.').format(plain(res.code)) ]) ]);
		}, err => this.tell(_('It is not known whether the router is enrolled'), [
			E('p', {}, [ _('It did not answer: %s').format(plain(err && err.message)) ]),
			E('p', {}, [ _('Look at the status in a minute. The same bundle can be uploaded again.') ])
		]));
	},

	tellDone: function(done) {
		const kept = strings(done.kept), faults = strings(done.faults);
		const lines = [ E('p', {}, [ _('This is %s of %s now.').format(plain(done.ap), plain(done.city)) ]) ];

		if (kept.length)
			lines.push(E('p', {}, [ _('Kept as it was on this router: %s').format(kept.join(', ')) ]));

		if (faults.length) {
			lines.push(E('p', {}, [ _('Not as it must be; until then pushes are refused:') ]));
			lines.push(E('ul', {}, faults.map(fault => E('li', {}, [ fault ]))));
		}

		uci.unload('rwagent');
		dom.content(this.standing, [ standing(done.ap, done.city) ]);

		return this.tell(_('Enrolled'), lines);
	},

	askForce: function(said) {
		ui.showModal(_('This bundle is for another access point'), [
			...paragraphs(said),
			E('p', {}, [ _('Only when this router takes the other one\'s place: upload the bundle again and replace. Reports then come under the new name.') ]),
			E('div', { 'class': 'right' }, [
				E('button', { 'class': 'btn', 'click': ui.hideModal }, [ _('Cancel') ]),
				' ',
				E('button', {
					'class': 'btn cbi-button-negative important',
					'click': ui.createHandlerFn(this, 'handleUpload', true)
				}, [ _('Upload again and replace') ])
			])
		]);
	},

	tell: function(title, lines) {
		ui.showModal(title, [
			...lines,
			E('div', { 'class': 'right' }, [
				E('button', { 'class': 'btn', 'click': ui.hideModal }, [ _('Close') ])
			])
		]);
	},

	render: function() {
		this.standing = E('p', {}, [ standing(uci.get('rwagent', 'agent', 'id'), uci.get('rwagent', 'agent', 'city')) ]);

		return E('div', {}, [
			E('h2', {}, [ _('Enrolment') ]),
			E('div', { 'class': 'cbi-map-descr' }, [
				_('The city makes one bundle for each access point (rwctl enroll): certificate, private key and settings. Settings of this router that are not the city\'s stay. The uploaded file is removed afterwards.')
			]),
			E('div', { 'class': 'cbi-section' }, [
				this.standing,
				E('button', {
					'class': 'btn cbi-button-action important',
					'disabled': L.hasViewPermission() ? null : true,
					'click': ui.createHandlerFn(this, 'handleUpload', false)
				}, [ _('Upload bundle…') ])
			])
		]);
	},

	handleSave: null,
	handleSaveApply: null,
	handleReset: null
});
