'use strict';
'require baseclass';
'require dom';
'require request';
'require ui';

/*
 * Asks for a file and brings it to the router by cgi-io. ui.uploadFile() would leave its dialog up for ever where uhttpd answers with an error page of its own,
 * says of a connection that broke that it timed out, and lets a file of any size into the router's RAM.
 */

const TIMEOUT_MS = 120000;

/* Why it is not there; null when it is. cgi-io answers with 200 and JSON also where it failed; all else is uhttpd's word. */
function failure(res) {
	let reply = null;

	try {
		reply = res.json();
	}
	catch (e) {
		return _('the router answered with code %s').format(res.status);
	}

	if (!res.ok || !L.isObject(reply))
		return _('the router answered with code %s').format(res.status);

	if (!reply.failure)
		return null;

	return [ reply.message, reply.failure[1] ].filter(part => typeof(part) == 'string').join(': ');
}

function send(file, path) {
	const bar = E('div', { 'style': 'width:0' });
	const progress = E('div', { 'class': 'cbi-progressbar', 'title': '0%' }, [ bar ]);
	const data = new FormData();

	data.append('sessionid', L.env.sessionid);
	data.append('filename', path);
	data.append('filedata', file);
	ui.showModal(_('Uploading the bundle'), [ progress ]);

	return request.post(`${L.env.cgi_base}/cgi-upload`, data, {
		timeout: TIMEOUT_MS,
		progress: event => {
			const done = `${Math.floor(100 * event.loaded / event.total)}%`;

			progress.setAttribute('title', done);
			bar.setAttribute('style', `width:${done}`);
		}
	}).then(res => {
		const why = failure(res);

		if (why != null)
			throw new Error(why);
	}, () => {
		throw new Error(_('the connection broke off'));
	});
}

return baseclass.extend({
	/* Lets one file of at most `most` bytes be chosen and uploads it as `path`. Gives false when that was called off; fails with words for people. */
	ask: function(path, most) {
		return new Promise((resolve, reject) => {
			const wanted = _('Choose the bundle of this access point: a file such as rw-0501.tar.gz.');
			const told = E('p', {}, [ wanted ]);
			const input = E('input', { 'type': 'file', 'aria-label': _('Bundle'), 'style': 'max-width:100%;box-sizing:border-box' });
			const go = E('button', { 'class': 'btn cbi-button-action important', 'disabled': true }, [ _('Upload') ]);

			input.addEventListener('change', () => {
				const file = input.files[0], isFit = file != null && file.size >= 1 && file.size <= most;

				go.disabled = !isFit;
				dom.content(told, [ (file == null || isFit)
					? wanted
					: _('This is no bundle: it has %s bytes, expected 1 to %s.').format(file.size, most) ]);
			});
			go.addEventListener('click', () => send(input.files[0], path).then(() => resolve(true), reject));

			ui.showModal(_('Upload bundle'), [
				told,
				E('p', {}, [ input ]),
				E('div', { 'class': 'right' }, [
					/* The first button is what Escape stands for. */
					E('button', {
						'class': 'btn',
						'click': () => {
							ui.hideModal();
							resolve(false);
						}
					}, [ _('Cancel') ]),
					' ',
					go
				])
			]);
		});
	}
});
