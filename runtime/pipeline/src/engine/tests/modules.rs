//! The forms of modules, a row each: the files, the script, and what it prints or fails with.

use super::*;
use crate::packages::Mount;

/// What a script by this name prints, or throws, in a repository with these files.
fn outcome(files: &[(&str, &str)], name: &str, text: &str) -> String {
    let folder = repository(files);
    let mut script = Script::new(usual(), Some(folder.path().to_owned()));
    let turn = script.load_as(name, text);
    let thrown = turn.thrown.or(turn.state.thrown);
    let stop = turn.stop.map(|stop| format!("{stop:?}"));
    let all = [Some(script.printed()).filter(|text| !text.is_empty()), thrown, stop];
    let root = folder.path().canonicalize().unwrap();
    let all: Vec<String> = all.into_iter().flatten().collect();
    all.join("\n").replace(root.to_str().unwrap(), "/vcs")
}

/// A repository with every kind of module.
const FILES: [(&str, &str); 29] = [
    ("lib/common.js", "exports.a = 1; exports.file = __filename; exports.folder = __dirname;"),
    (
        "lib/whole.js",
        "module.exports = function whole() { return 'whole'; }; module.exports.part = 2;",
    ),
    (
        "lib/module.mjs",
        "export const a = 1; export default 'default'; export function f() { return a; }",
    ),
    ("lib/module.js", "import { a } from './module.mjs'; export const b = a + 1;"),
    ("lib/explicit.cjs", "module.exports = { one: 1, two: 2 };"),
    ("lib/index.js", "exports.index = true;"),
    ("lib/package/package.json", "{\"main\": \"./src/main\"}"),
    ("lib/package/src/main.js", "exports.main = true;"),
    ("lib/waits.mjs", "export const a = await Promise.resolve(5);"),
    ("lib/throws.js", "exports.a = 1;\nthrow new RangeError('no luck');"),
    ("lib/throws.mjs", "export const a = 1;\n  throw new RangeError('no luck');"),
    ("lib/broken.js", "let a = 1;\nlet b = ;"),
    ("lib/broken.mjs", "export let a = 1;\nexport let b = ;"),
    ("lib/needs.mjs", "import { x } from './nothing.mjs'; export const a = x;"),
    ("lib/cycle/a.js", "exports.first = 1; const b = require('./b'); exports.second = b.seen;"),
    ("lib/cycle/b.js", "exports.seen = Object.keys(require('./a')).join();"),
    ("lib/cycle/c.mjs", "import { d } from './d.mjs'; export const c = () => d + 1;"),
    (
        "lib/cycle/d.mjs",
        "import { c } from './c.mjs'; export const d = 1; export const later = () => c();",
    ),
    ("lib/cycle/e.mjs", "import f from './f.cjs'; export const e = 1; export default f;"),
    ("lib/cycle/f.cjs", "try { require('./e.mjs'); } catch (error) { exports.code = error.code; }"),
    (
        "lib/passes.js",
        "__exportStar(require('./common'), exports); exports.own = 1; function __exportStar(from, to) { Object.assign(to, from); }",
    ),
    ("data.json", "{\"a\": [1, 2], \"b\": {\"c\": null}}"),
    ("broken.json", "{\"a\": "),
    ("node_modules/left/package.json", "{\"name\": \"left\", \"main\": \"main.js\"}"),
    ("node_modules/left/main.js", "exports.left = require('right').right;"),
    ("node_modules/right/index.js", "exports.right = 'right';"),
    (
        "node_modules/both/package.json",
        r##"{"exports": {".": {"import": "./b.mjs", "require": "./b.cjs"}, "./deep/*": "./lib/*.js", "./data": "./data.json"}, "imports": {"#own": "./lib/own.js"}}"##,
    ),
    (
        "node_modules/both/b.mjs",
        "import own from '#own'; export default 'imported'; export { own };",
    ),
    ("node_modules/both/b.cjs", "module.exports = 'required ' + require('#own');"),
];

const MORE: [(&str, &str); 5] = [
    ("node_modules/both/lib/own.js", "module.exports = 'own';"),
    ("node_modules/both/lib/x.js", "module.exports = 'deep x';"),
    ("node_modules/both/data.json", "[1]"),
    ("node_modules/@scope/name/index.mjs", "export const scoped = import.meta.url;"),
    ("node_modules/@scope/name/package.json", r#"{"exports": "./index.mjs"}"#),
];

#[test]
fn every_form_of_module_is_taken() {
    let files: Vec<(&str, &str)> = FILES.into_iter().chain(MORE).collect();
    for (name, text, expected) in [
        // CommonJS
        (
            "brigade.js",
            "const c = require('./lib/common'); console.log(c.a, c.file, c.folder)",
            "1 /vcs/lib/common.js /vcs/lib",
        ),
        (
            "brigade.js",
            "console.log(require('./lib/whole')(), require('./lib/whole').part)",
            "whole 2",
        ),
        (
            "brigade.js",
            "console.log(require('./lib'), require('./lib/'), require('./lib/package'))",
            "{ index: true } { index: true } { main: true }",
        ),
        (
            "brigade.js",
            "console.log(require('./data'), require('./data.json').a.length)",
            "{ a: [ 1, 2 ], b: { c: null } } 2",
        ),
        (
            "brigade.cjs",
            "console.log(require('./lib/explicit').two, __filename, module.id, require.main === module)",
            "2 /vcs/brigade.cjs . true",
        ),
        ("brigade.js", "console.log(require('./lib/cycle/a'))", "{ first: 1, second: 'first' }"),
        (
            "brigade.js",
            "console.log(require('left'), require('right/index'), require.resolve('left'))",
            "{ left: 'right' } { right: 'right' } /vcs/node_modules/left/main.js",
        ),
        (
            "brigade.js",
            "console.log(require(__dirname + '/lib/common').a, require.resolve('./lib'), require.resolve('path'))",
            "1 /vcs/lib/index.js path",
        ),
        (
            "brigade.js",
            "const a = require('./lib/common'); delete require.cache[require.resolve('./lib/common')]; console.log(a === require('./lib/common'))",
            "false",
        ),
        ("ci/brigade.js", "console.log(require('../lib/common').a, __dirname)", "1 /vcs/ci"),
        ("brigade.js", "return console.log('returned');", "returned"),
        // ES modules
        (
            "brigade.js",
            "import { a, f } from './lib/module.mjs'; import d from './lib/module.mjs'; console.log(a, f(), d)",
            "1 1 default",
        ),
        (
            "brigade.mjs",
            "import * as all from './lib/module.mjs'; console.log(Object.keys(all), typeof require)",
            "[ 'a', 'default', 'f' ] undefined",
        ),
        ("brigade.js", "import { b } from './lib/module.js'; console.log(b)", "2"),
        ("brigade.js", "import data from './data.json'; console.log(data.a)", "[ 1, 2 ]"),
        (
            "brigade.js",
            "import data from './data.json' with { type: 'json' }; console.log(data.b)",
            "{ c: null }",
        ),
        (
            "brigade.js",
            "console.log((await import('./data.json', { with: { type: 'json' } })).default.a)",
            "[ 1, 2 ]",
        ),
        (
            "brigade.mjs",
            "console.log(import.meta.url, import.meta.filename, import.meta.dirname, import.meta.resolve('./lib/index.js'))",
            "file:///vcs/brigade.mjs /vcs/brigade.mjs /vcs file:///vcs/lib/index.js",
        ),
        (
            "brigade.mjs",
            "console.log(Object.keys(import.meta).sort().join())",
            "dirname,filename,resolve,url",
        ),
        ("brigade.mjs", "const { a } = await import('./lib/waits.mjs'); console.log(a)", "5"),
        ("brigade.mjs", "import { a } from './lib/waits.mjs'; console.log(a)", "5"),
        ("brigade.mjs", "import { later } from './lib/cycle/d.mjs'; console.log(later())", "2"),
        (
            "brigade.mjs",
            "import { x } from './lib/cycle/nothing.mjs'",
            "Error: Cannot find module './lib/cycle/nothing.mjs' (from brigade.mjs)",
        ),
        // ES modules of CommonJS
        (
            "brigade.mjs",
            "import { a, file } from './lib/common.js'; import c from './lib/common.js'; console.log(a, file, c.a)",
            "1 /vcs/lib/common.js 1",
        ),
        (
            "brigade.mjs",
            "import whole, { part } from './lib/whole.js'; console.log(whole(), part)",
            "whole 2",
        ),
        (
            "brigade.mjs",
            "import { one, two } from './lib/explicit.cjs'; console.log(one + two)",
            "3",
        ),
        ("brigade.mjs", "import { a, own } from './lib/passes.js'; console.log(a, own)", "1 1"),
        ("brigade.mjs", "import { left } from 'left'; console.log(left)", "right"),
        (
            "brigade.mjs",
            "const m = await import('./lib/common.js'); console.log(m.a, m.default.a)",
            "1 1",
        ),
        (
            "brigade.mjs",
            "import { nothing } from './lib/module.mjs'",
            "SyntaxError: Could not find export 'nothing' in module 'lib/module.mjs'",
        ),
        (
            "brigade.mjs",
            "import { createRequire } from 'module'; const require = createRequire(import.meta.url); console.log(require('./lib/common').a, require('./lib/module.mjs').a)",
            "1 1",
        ),
        // CommonJS of ES modules
        (
            "brigade.js",
            "const m = require('./lib/module.mjs'); console.log(m.a, m.default, m === require('./lib/module.mjs'))",
            "1 default true",
        ),
        ("brigade.js", "console.log(require('./lib/module').b)", "2"),
        (
            "brigade.js",
            "import('./lib/module.mjs').then((m) => console.log(m === require('./lib/module.mjs')))",
            "true",
        ),
        (
            "brigade.js",
            "try { require('./lib/waits.mjs') } catch (error) { console.log(error.code) }",
            "ERR_REQUIRE_ASYNC_MODULE",
        ),
        (
            "brigade.mjs",
            "import f from './lib/cycle/e.mjs'; console.log(f.code)",
            "ERR_REQUIRE_CYCLE_MODULE",
        ),
        (
            "brigade.js",
            "console.log(require('./lib/cycle/e.mjs').default.code)",
            "ERR_REQUIRE_CYCLE_MODULE",
        ),
        // packages
        (
            "brigade.js",
            "console.log(require('both'), require('both/deep/x'), require('both/data'))",
            "required own deep x [ 1 ]",
        ),
        ("brigade.mjs", "import both, { own } from 'both'; console.log(both, own)", "imported own"),
        (
            "brigade.js",
            "console.log(require('@scope/name').scoped)",
            "file:///vcs/node_modules/@scope/name/index.mjs",
        ),
        (
            "brigade.js",
            "try { require('both/private') } catch (error) { console.log(error.code, error.message) }",
            "ERR_PACKAGE_PATH_NOT_EXPORTED Package 'both' does not export './private' (in node_modules/both)",
        ),
        ("lib/deep/brigade.js", "console.log(require('right').right)", "right"),
        // what fails, fails again
        (
            "brigade.js",
            "for (const n of [1, 2]) try { require('./lib/throws') } catch (error) { console.log(error.message) }",
            "no luck\nno luck",
        ),
        (
            "brigade.js",
            "for (const n of [1, 2]) try { require('./lib/throws.mjs') } catch (error) { console.log(error.message) }",
            "no luck\nno luck",
        ),
        (
            "brigade.js",
            "for (const n of [1, 2]) import('./lib/needs.mjs').catch((error) => console.log(error.message))",
            "Cannot find module './nothing.mjs' (from lib/needs.mjs)\nCannot find module './nothing.mjs' (from lib/needs.mjs)",
        ),
        (
            "brigade.js",
            "for (const n of [1, 2]) try { require('./lib/needs.mjs') } catch (error) { console.log(n) }",
            "1\n2",
        ),
        (
            "brigade.js",
            "for (const n of [1, 2]) import('./lib/broken.mjs').catch((error) => console.log(error.message))",
            "unexpected token in expression: ';'\nunexpected token in expression: ';'",
        ),
        (
            "brigade.mjs",
            "await import('./lib/needs.mjs').catch(() => {}); import('./brigade.mjs').catch((error) => console.log(error.code))",
            "MODULE_NOT_FOUND",
        ),
        // attributes
        (
            "brigade.mjs",
            "import('./lib/common.js', { with: { type: 'json' } }).catch((error) => console.log(error.name, error.message))",
            "TypeError lib/common.js is not JSON",
        ),
        (
            "brigade.mjs",
            "import('./data.json', { with: { type: 'text' } }).catch((error) => console.log(error.message))",
            "./data.json cannot be imported with a type other than json",
        ),
    ] {
        let outcome = outcome(&files, name, text);
        let first = outcome.starts_with("Error") || outcome.starts_with("SyntaxError");
        let shown = if first { outcome.lines().next().unwrap() } else { &outcome };
        assert_eq!(shown, expected, "{name}: {text}\n{outcome}");
    }
}

#[test]
fn errors_in_modules_name_their_file_and_place() {
    for (name, text, expected) in [
        (
            "brigade.js",
            "\nrequire('./lib/throws')",
            "RangeError: no luck\n    at lib/throws.js:2:11\n    at brigade.js:2:1",
        ),
        (
            "brigade.mjs",
            "import './lib/throws.js'",
            "RangeError: no luck\n    at lib/throws.js:2:11",
        ),
        (
            "brigade.mjs",
            "import './lib/throws.mjs'",
            "RangeError: no luck\n    at lib/throws.mjs:2:13",
        ),
        (
            "brigade.mjs",
            "import 'path'; null.x",
            "TypeError: cannot read property 'x' of null\n    at brigade.mjs:1:15",
        ),
        (
            "brigade.js",
            "require('./lib/broken')",
            "SyntaxError: unexpected token in expression: ';'\n    at lib/broken.js:2:9\n    at brigade.js:1:1",
        ),
        (
            "brigade.mjs",
            "import './lib/broken.mjs'",
            "SyntaxError: unexpected token in expression: ';'\n    at lib/broken.mjs:2:16",
        ),
        (
            "brigade.js",
            "require('./broken.json')",
            "SyntaxError: broken.json is no JSON: Unexpected end of JSON input",
        ),
        (
            "brigade.mjs",
            "import './broken.json'",
            "SyntaxError: broken.json is no JSON: Unexpected end of JSON input",
        ),
    ] {
        let outcome = outcome(&FILES, name, text);
        assert!(outcome.starts_with(expected), "{text}: {outcome:?}\n{expected:?}");
    }
}

#[test]
fn what_node_has_and_we_have_not_is_said_with_its_reason() {
    for (module, reason) in [
        (
            "child_process",
            "because a script starts no processes: run the command in a job. There are: ",
        ),
        ("node:https", "because a script has no network: run what needs one in a job. There are: "),
        (
            "worker_threads",
            "because a script is one thread: run what takes long in a job. There are: ",
        ),
        ("zlib", "'zlib'. There are: "),
        ("node:nothing", "'node:nothing'. There are: "),
        ("left-pad", "'left-pad'. There are: @brigadecore/brigadier, assert,"),
    ] {
        for text in [format!("require({module:?})"), format!("import {module:?}")] {
            let outcome = outcome(&[], "brigade.js", &text);
            assert!(outcome.contains(reason), "{outcome}");
            assert!(outcome.contains("util/types; files of the repository by a path"), "{outcome}");
        }
    }
}

#[test]
fn a_package_is_read_where_it_was_put_and_nowhere_else() {
    let kept = repository(&[
        (
            "a/index.js",
            "exports.a = require('b').b; exports.file = __filename; exports.own = require('fs').readFileSync(__dirname + '/data.txt', 'utf8');",
        ),
        ("a/data.txt", "data"),
        ("b1/index.js", "exports.b = 1;"),
        ("b2/index.js", "exports.b = 2;"),
        ("secret.js", "exports.secret = 1;"),
    ]);
    let mount = |at: &str, folder: &str| Mount {
        at: at.to_owned(),
        folder: kept.path().join(folder).canonicalize().unwrap(),
    };
    let mounts = [
        mount("node_modules/a", "a"),
        mount("node_modules/a/node_modules/b", "b1"),
        mount("node_modules/b", "b2"),
    ];
    let packages = Packages { mounts: mounts.into() };
    let mut script = Script::with(usual(), None, packages);
    let turn = script.load(
        "const a = require('a'); console.log(a, require('b').b);
         for (const path of ['a/../secret', './node_modules/a/../../secret', './node_modules/../secret', 'a/../../secret.js']) {
           try { console.log(require(path)); } catch (error) { console.log(error.code); }
         }",
    );
    assert_eq!(turn.thrown, None);
    assert_eq!(
        script.printed(),
        "{ a: 1, file: '/vcs/node_modules/a/index.js', own: 'data' } 2\nMODULE_NOT_FOUND\nMODULE_NOT_FOUND\nMODULE_NOT_FOUND\nMODULE_NOT_FOUND"
    );
}

#[test]
fn modules_of_a_hostile_repository_do_no_harm() {
    let nested = format!("{{\"exports\": {}1{}}}", "{\"default\": ".repeat(100), "}".repeat(100));
    let deep = format!("{{\"exports\": {}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let files = [
        ("node_modules/nested/package.json", nested.as_str()),
        ("node_modules/deep/package.json", deep.as_str()),
        ("node_modules/up/package.json", r#"{"exports": "./../../../etc/passwd"}"#),
        ("node_modules/out/package.json", r#"{"main": "/etc/passwd"}"#),
        ("node_modules/list/package.json", "[1]"),
        ("loop.json", "{\"__proto__\": {\"polluted\": 1}}"),
    ];
    for name in ["nested", "deep", "up", "out", "list", "../x", "@a", "@/b", "a/../..", "%00"] {
        let text = format!(
            "try {{ require({name:?}); console.log('read') }} catch (error) {{ console.log('refused') }}"
        );
        assert_eq!(outcome(&files, "brigade.js", &text), "refused", "{name}");
    }
    let text = "require('./loop.json'); console.log({}.polluted, import.meta === undefined)";
    assert!(outcome(&files, "brigade.js", text).starts_with("ReferenceError: require"));
    let text = "require('./loop.json'); console.log({}.polluted)";
    assert_eq!(outcome(&files, "brigade.js", text), "undefined");
    for name in ["brigantine:mark/x", "brigantine:module/path", "brigantine:bridge/x"] {
        let text = format!("import({name:?}).catch((error) => console.log('refused'))");
        assert_eq!(outcome(&files, "brigade.js", &text), "refused", "{name}");
    }
}

#[test]
fn files_that_pass_on_each_others_names_are_read_once() {
    let pass = |other: &str| format!("__exportStar(require('./{other}'), exports);\n").repeat(500);
    let (a, b) = (format!("exports.a = 1; {}", pass("b")), format!("exports.b = 2; {}", pass("a")));
    let head = "function __exportStar(from, to) { for (const key in from) to[key] ??= from[key]; }";
    let files = [("a.js", format!("{head} {a}")), ("b.js", format!("{head} {b}"))];
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    let text = "import { a, b } from './a.js'; console.log(a, b)";
    assert_eq!(outcome(&files, "brigade.mjs", text), "1 2");
}
