'use strict';

/*
 * Executes the views of luci-app-rwagent as LuCI does, with our own stand-ins of its modules. Standard input: {resources, cases}; standard output: one line
 * of JSON for each case, what the page then shows and what it called. A class, method or member that the stand-ins do not have throws: they have what
 * LuCI 24.10 and 25.12 have and the views use.
 */

const fs = require('node:fs');
const path = require('node:path');

/* --- a document, as far as dom.create() needs one ------------------------------------------------------------------ */

let html = []; // what was given to innerHTML

class Node {
	constructor(tag, text) {
		Object.assign(this, { nodeType: tag ? 1 : 3, tag, text, attributes: {}, children: [], listeners: {}, disabled: false });
		this.classList = { add() {}, remove() {} };
	}

	setAttribute(key, value) {
		this.attributes[key] = String(value);
	}

	addEventListener(name, call) {
		this.listeners[name] = call;
	}

	replaceChild(fresh, old) {
		this.children.splice(this.children.indexOf(old), 1, fresh);
	}

	isEqualNode(other) {
		return this.tag == other.tag && this.text == other.text && JSON.stringify(this.attributes) == JSON.stringify(other.attributes)
			&& this.children.length == other.children.length && this.children.every((child, place) => child.isEqualNode(other.children[place]));
	}

	appendChild(child) {
		if (!(child instanceof Node))
			throw new TypeError(`appendChild: ${child} is no node`);

		this.children.push(...(child.tag == '#fragment') ? child.children : [ child ]);
		return child;
	}

	set innerHTML(text) {
		html.push(text);
		this.children = [ new Node(null, text) ];
	}

	get textContent() {
		return (this.text != null) ? this.text : this.children.map(child => child.textContent).join('');
	}

	find(accept) {
		return [ ...(accept(this) ? [ this ] : []), ...this.children.flatMap(child => child.find(accept)) ];
	}
}

function strict(name, members) {
	return new Proxy(members, {
		get(target, key) {
			if (!(key in target) && typeof(key) == 'string' && key != 'then')
				throw new ReferenceError(`${name} has no ${key}`);

			return target[key];
		}
	});
}

const dom = strict('dom', {
	elem: e => e instanceof Node,

	append(node, children) {
		if (Array.isArray(children)) {
			children.forEach(child => {
				if (child == null)
					throw new TypeError('dom.append: nothing in a list becomes the text "null"');

				node.appendChild((child instanceof Node) ? child : new Node(null, `${child}`));
			});
		}
		else if (children instanceof Node) {
			node.appendChild(children);
		}
		else if (children != null) {
			node.innerHTML = `${children}`;
		}
	},

	content(node, children) {
		node.children = [];
		dom.append(node, children);
	},

	create(tag, attributes, children) {
		if (typeof(tag) != 'string' || !/^[a-z][a-z0-9]*$/.test(tag))
			throw new TypeError(`E: ${tag} is no element's name`);

		if (!(attributes instanceof Object) || Array.isArray(attributes))
			[ attributes, children ] = [ {}, attributes ];

		const node = new Node(tag);

		Object.entries(attributes).filter(([ , value ]) => value != null).forEach(([ key, value ]) => {
			if (typeof(value) == 'function')
				node.listeners[key] = value;
			else
				node.attributes[key] = String(value);
		});
		node.disabled = 'disabled' in node.attributes;
		dom.append(node, children);
		return node;
	}
});

/* --- LuCI's modules ------------------------------------------------------------------------------------------------ */

function extendable(members) {
	const Class = class {};

	Object.assign(Class.prototype, members);
	Class.extend = more => Object.assign(extendable(Object.assign({}, members, more)), { base: Class });
	return Class;
}

String.prototype.format = function(...values) {
	return this.replace(/%(.)/g, (match, kind) => {
		if (kind == '%')
			return '%';

		if (kind != 's' || !values.length)
			throw new TypeError(`format: "${this}" has more places than values, or one that is no %s`);

		return String(values.shift());
	});
};

/* UCI as the browser sees it: what is set here reaches `sections` only by save(). */
function makeUci(given, calls) {
	const sections = structuredClone(given || {});
	let is_loaded = false;

	return strict('uci', {
		sections,
		load: name => {
			calls.push([ 'uci.load', name ]);

			if (given == null)
				return Promise.reject(new Error('Permission denied'));

			is_loaded = true;
			return Promise.resolve([ name ]);
		},
		unload: name => { calls.push([ 'uci.unload', name ]); },
		get: (name, section, option) => {
			const found = is_loaded ? sections[section] : null;

			/* As there: null without the section, undefined without the option. */
			return (found == null) ? null : (option == null) ? found : found[option];
		},
		add: (name, type, section) => {
			calls.push([ 'uci.add', name, type, section ]);
			sections[section] = { '.type': type };
			return section;
		},
		set: (name, section, option, value) => {
			if (value != null && value !== '')
				sections[section][option] = value;
			else
				delete sections[section][option];
		},
		unset: (name, section, option) => { delete sections[section][option]; }
	});
}

function makeForm(uci, filled, typed, page) {
	const settable = [ 'default', 'rmempty', 'placeholder', 'validate', 'load', 'write' ];

	class Option {
		constructor(section, key, title, description) {
			Object.assign(this, { section, option: key, title, description, words: [], rmempty: true, default: null, placeholder: null, validate: null });
			return new Proxy(this, {
				set(target, name, value) {
					if (!settable.includes(name))
						throw new ReferenceError(`a ${target.constructor.name} has no ${name}`);

					target[name] = value;
					return true;
				}
			});
		}

		load(section_id) {
			return uci.get('rwagent', section_id, this.option);
		}

		cfgvalue(section_id) {
			return this.load(section_id);
		}

		formvalue(section_id) {
			const name = `${section_id}.${this.option}`, now = this.cfgvalue(section_id);

			return (name in filled) ? filled[name] : (now != null) ? now : this.default;
		}

		fault(section_id) {
			const value = this.formvalue(section_id);
			const judge = one => (this.validate == null) ? true : this.validate.call(this, section_id, (one == null) ? '' : one);
			const answers = this.judged(value).map(judge);

			if (answers.some(answer => answer !== true && typeof(answer) != 'string'))
				throw new TypeError('validate gave neither true nor a text');

			return answers.find(answer => answer !== true) || null;
		}

		judged(value) {
			return [ value ];
		}

		write(section_id, value) {
			uci.set('rwagent', section_id, this.option, value);
		}

		/* As AbstractValue.parse(): an empty value removes the option, or is a fault where it may not; one that is as before is not written. */
		save(section_id) {
			const value = this.formvalue(section_id);
			const fault = this.fault(section_id);

			if (fault != null)
				return [ `${section_id}.${this.option}`, fault ];

			if (value != null && value.length) {
				if (JSON.stringify(this.cfgvalue(section_id)) != JSON.stringify(value))
					this.write(section_id, value);
			}
			else if (this.rmempty)
				uci.unset('rwagent', section_id, this.option);
			else
				return [ `${section_id}.${this.option}`, 'must not be empty' ];

			return null;
		}
	}

	class Value extends Option {}

	class DynamicList extends Option {
		/* As UIDynamicList: its items are judged one by one only while each is typed; the list as a whole has '' for its value. What was typed and not
		 * added (given.typed) is in formvalue() only where it was allowed. */
		judged() {
			return [ '' ];
		}

		getUIElement(section_id) {
			return { node: { querySelector: () => ({ value: typed[`${section_id}.${this.option}`] || '' }) } };
		}
	}

	class ListValue extends Option {
		value(word) { this.words.push(word); }
	}

	class Flag extends Option {
		/* As FlagValue.parse(): the default is not written where it may be left out. */
		save(section_id) {
			if (this.formvalue(section_id) == this.default && this.rmempty)
				uci.unset('rwagent', section_id, this.option);
			else
				uci.set('rwagent', section_id, this.option, this.formvalue(section_id));

			return null;
		}
	}

	class NamedSection {
		constructor(name, type, title, description) {
			Object.assign(this, { name, type, title, description, options: [] });
		}

		option(kind, key, title, description) {
			if (!(kind && kind.prototype instanceof Option))
				throw new TypeError(`option ${key}: no class of LuCI's`);

			const made = new kind(this, key, title, description);

			this.options.push(made);
			return made;
		}

		formvalue(section_id, key) {
			return this.options.find(option => option.option == key).formvalue(section_id);
		}
	}

	class Map {
		constructor(config, title, description) {
			Object.assign(this, { config, title, description, sections: [] });
			page.map = this;
		}

		section(kind, ...rest) {
			if (kind !== NamedSection)
				throw new TypeError('section: no class of LuCI\'s');

			const made = new kind(...rest);

			this.sections.push(made);
			return made;
		}

		render() {
			/* NamedSection.renderContents(): a section that UCI has not is not drawn. */
			this.sections = this.sections.filter(section => uci.get(this.config, section.name) != null);
			return Promise.resolve(dom.create('div', { 'class': 'cbi-map' }, []));
		}

		save() {
			return this.sections.flatMap(section => section.options.map(option => option.save(section.name))).filter(fault => fault != null);
		}
	}

	return strict('form', { Map, NamedSection, Value, DynamicList, ListValue, Flag });
}

/* --- one case ------------------------------------------------------------------------------------------------------- */

function failure(text) {
	return Object.assign(new Error(text), { name: 'Error' });
}

function makePage(resources, given) {
	const calls = [], polled = [], page = { calls, polled, modal: null, map: null };
	const answers = [ ...(given.exec || []) ], uploads = [ ...(given.uploads || []) ], uci = makeUci(given.uci, calls);

	const modules = {
		dom, uci,
		baseclass: extendable({}),
		view: extendable({ load() {}, render() {}, handleSave() {}, handleSaveApply() {}, handleReset() {} }),
		form: makeForm(uci, given.filled || {}, given.typed || {}, page),
		poll: strict('poll', { add: (call, seconds) => { polled.push([ call, seconds ]); return true; } }),
		fs: strict('fs', {
			exec: (command, args) => {
				calls.push([ 'fs.exec', command, ...args ]);
				const answer = answers.shift();

				return (answer == null || answer.error != null)
					? Promise.reject(failure(answer ? answer.error : 'no answer is prepared'))
					: Promise.resolve(answer);
			},
			remove: file => {
				calls.push([ 'fs.remove', file ]);
				return given.removed === false ? Promise.reject(failure('Resource not found')) : Promise.resolve(0);
			}
		}),
		request: strict('request', {
			post: (url, data, options) => {
				calls.push([ 'request.post', url, data.get('filename'), data.get('filedata').size ]);

				if (!(options.timeout > 0))
					throw new TypeError('request.post: without a timeout it waits for ever');

				const answer = uploads.shift() || { status: 200, text: '{"size": 1, "checksum": "x"}' };

				options.progress({ loaded: 1, total: 2 });

				if (answer == 'never')
					return new Promise(() => {});

				return answer.error
					? Promise.reject(failure(answer.error))
					: Promise.resolve({ ok: answer.status == 200, status: answer.status, json: () => JSON.parse(answer.text) });
			}
		}),
		ui: strict('ui', {
			showModal: (title, children) => {
				page.modal = dom.create('div', {}, [ dom.create('h4', {}, [ title ]) ]);
				dom.append(page.modal, children);
				return page.modal;
			},
			hideModal: () => { page.modal = null; },
			createHandlerFn: (self, name, ...rest) => {
				if (typeof(self[name]) != 'function')
					throw new TypeError(`createHandlerFn: no method ${name}`);

				/* The button is disabled until it is done. */
				return event => {
					event.currentTarget.disabled = true;
					Promise.resolve(self[name](...rest, event)).finally(() => { event.currentTarget.disabled = false; });
				};
			}
		})
	};

	const L = strict('L', {
		env: strict('L.env', { cgi_base: '/cgi-bin', sessionid: 'session' }),
		isObject: value => value != null && typeof(value) == 'object',
		toArray: value => (value == null) ? [] : Array.isArray(value) ? value : String(value).trim().split(/\s+/).filter(item => item != ''),
		resolveDefault: (promise, other) => Promise.resolve(promise).catch(() => other),
		hasViewPermission: () => given.readonly !== true
	});

	/* As L.require(): the directives a file begins with name its modules. */
	page.require = name => {
		if (name in modules)
			return modules[name];

		const source = fs.readFileSync(path.join(resources, `${name.replaceAll('.', '/')}.js`), 'utf8');
		const names = [], needed = [], directive = /\s*'([^']*)';/y;

		for (let words; (words = directive.exec(source)) != null;) {
			const found = /^require\s+(\S+)(?:\s+as\s+([a-zA-Z_]\S*))?$/.exec(words[1]);

			if (found) {
				needed.push(page.require(found[1]));
				names.push(found[2] || found[1].replace(/[^a-zA-Z0-9_]/g, '_'));
			}
			else if (words[1] != 'use strict') {
				throw new SyntaxError(`${name}: '${words[1]}' is no directive`);
			}
		}

		const Class = new Function('window', 'document', 'L', 'E', '_', ...names, source)(
			{}, strict('document', {}), L, (...args) => dom.create(...args), text => (given.catalog && given.catalog[text]) || text, ...needed);

		if (typeof(Class) != 'function' || !Class.extend)
			throw new TypeError(`${name}: factory yields invalid constructor`);

		return modules[name] = new Class();
	};

	return page;
}

const settled = () => new Promise(done => setImmediate(() => setImmediate(done)));

/* One step of somebody: the text of a button to press, or the size of a file to choose. */
async function step(what, roots) {
	const is_file = typeof(what) == 'number';
	const found = roots.filter(root => root != null).flatMap(root => root.find(node => is_file
		? node.tag == 'input' && node.attributes.type == 'file'
		: node.tag == 'button' && node.textContent == what));

	if (found.length != 1)
		throw new Error(`${found.length} buttons or fields are for "${what}"`);

	if (found[0].disabled)
		throw new Error(`the button "${what}" is disabled`);

	if (is_file)
		found[0].files = [ new Blob([ 'x'.repeat(what) ]) ];

	found[0].listeners[is_file ? 'change' : 'click']({ currentTarget: found[0] });
	await settled();
}

function shown(root) {
	const of_class = name => root.find(node => (node.attributes['class'] || '').split(' ').includes(name)).map(node => node.textContent);

	return {
		text: root.textContent,
		rows: root.find(node => node.tag == 'tr').map(node => node.children.map(cell => cell.textContent)),
		warnings: of_class('alert-message'),
		heads: root.find(node => node.tag == 'h3').map(node => node.textContent),
		items: root.find(node => node.tag == 'li').map(node => node.textContent),
		fields: root.find(node => node.tag == 'input').map(node => node.attributes),
		titles: root.find(node => node.tag == 'td').map(node => node.attributes['data-title'] || null),
		styles: [ ...new Set(root.find(node => node.tag == 'li').map(node => node.attributes.style || null)) ],
		buttons: root.find(node => node.tag == 'button').map(node => [ node.textContent, node.disabled ])
	};
}

async function run(resources, given) {
	html = [];

	const page = makePage(resources, given);

	if (given.judge)
		return given.judge.map(([ table, key, value ]) => {
			const rules = page.require('rwagent.rules');

			return rules.isAllowed(rules.tables[table][key], value);
		});

	if (given.tables)
		return page.require('rwagent.rules').tables;

	const view = page.require(`view.rwagent.${given.view}`);
	const root = await Promise.resolve(view.load()).then(loaded => view.render(loaded));
	const result = { first: shown(root), modals: [] };

	for (const what of given.steps || []) {
		await step(what, [ root, page.modal ]);
		result.modals.push(page.modal && shown(page.modal));
	}

	/* The places of the page's parts that are the same nodes after the polls as before. */
	const parts = () => (root.children.length ? root.children[root.children.length - 1].children : []), before = [ ...parts() ];

	for (const [ call ] of (given.polls ? page.polled : []))
		for (let turn = 0; turn < given.polls; turn++)
			await call();

	result.kept = parts().map((node, place) => node === before[place]);

	if (page.map) {
		const described = option => ({
			kind: option.constructor.name, title: option.title, description: option.description, words: option.words,
			preset: option.default, placeholder: option.placeholder, rmempty: option.rmempty
		});

		result.form = Object.fromEntries(page.map.sections.map(section =>
			[ section.name, Object.fromEntries(section.options.map(option => [ option.option, described(option) ])) ]));
		result.faults = Object.fromEntries(page.map.save());
		result.uci = page.require('uci').sections;
	}

	return Object.assign(result, {
		last: shown(root), calls: page.calls, html, polled: page.polled.map(([ , seconds ]) => seconds),
		buttons_of_form: [ view.handleSave, view.handleSaveApply, view.handleReset ].map(handler => handler !== null)
	});
}

(async () => {
	const { resources, cases } = JSON.parse(fs.readFileSync(0, 'utf8'));

	for (const [ name, given ] of Object.entries(cases)) {
		const answer = await run(resources, given).then(result => ({ result }), err => ({ error: String((err && err.stack) || err) }));

		process.stdout.write(`${JSON.stringify(Object.assign({ name }, answer))}\n`);
	}
})();
