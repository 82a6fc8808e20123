//! Scripts and modules: how they are loaded, and what is said when they cannot be.

use super::*;

#[test]
fn errors_name_the_file_the_line_and_the_column() {
    for (text, expected) in [
        (
            "let a = 1;\n  let b = ;\n",
            "SyntaxError: unexpected token in expression: ';'\n    at brigade.js:2:11",
        ),
        ("null.x", "TypeError: cannot read property 'x' of null\n    at brigade.js:1:1"),
        (
            "function f() {\n  throw new RangeError('far');\n}\nf();",
            "RangeError: far\n    at f (brigade.js:2:13)\n    at brigade.js:4:1",
        ),
        ("throw 'a text'", "a text"),
        ("throw { code: 1 }", "{ code: 1 }"),
        (
            "[1].map(() => { throw new Error('in') })",
            "Error: in\n    at brigade.js:1:27\n    at map (native)\n    at brigade.js:1:4",
        ),
        (
            "const { Job } = require('brigadier');\nnew Job('Upper');",
            "Error: job name must be lowercase letters, numbers, and '-', and must not start or end with '-', having max length 36\n    at brigade.js:2:5",
        ),
    ] {
        assert_eq!(thrown(text), expected, "{text}");
    }
}

#[test]
fn a_shell_line_and_a_byte_order_mark_are_passed_over() {
    assert_eq!(printed("#!/usr/bin/env node\nconsole.log(1)"), "1");
    assert_eq!(printed("\u{feff}console.log(2)"), "2");
}

#[test]
fn an_unknown_module_fails_with_the_list_of_what_there_is() {
    for text in ["require('http')", "import 'http'"] {
        let thrown = thrown(text);
        assert!(thrown.starts_with("Error: Cannot find module 'http', because a script has no network: run what needs one in a job. There are: @brigadecore/brigadier, assert, assert/strict, async_hooks, brigade, brigadier, buffer,"), "{thrown}");
        assert!(thrown.contains("and no files, because this build has no checked out repository"));
    }
}

#[test]
fn the_three_names_of_the_api_are_one_object() {
    assert_eq!(
        printed(
            "const a = require('brigadier');
             console.log(a === require('brigade'), a === require('@brigadecore/brigadier'));
             console.log(Object.keys(a).join(), typeof a.Container);"
        ),
        "true true\nevents,fire,Job,Group,ErrorReport function"
    );
}

#[test]
fn an_es_module_is_taken_too() {
    assert_eq!(
        printed(
            "import { events, Job, Container, logger } from 'brigadier';
             import brigade, { Group as G } from '@brigadecore/brigadier';
             import * as path from 'node:path';
             import util, { inspect } from 'util';
             const three = await Promise.resolve(3);
             console.log(events === brigade.events, typeof Job, typeof G, typeof Container, typeof logger, path.join('a', 'b'), inspect(three), util.inspect === inspect);
             export default 1;"
        ),
        "true function function function object a/b 3 true"
    );
    let thrown = thrown("import { events } from 'brigadier';\nimport { nothing } from 'path';");
    assert!(thrown.contains("nothing"), "{thrown}");
    let mut script = Script::new(usual(), None);
    let turn = script.load("import { events } from 'brigadier';\n  events.nothing();");
    let at_top = "TypeError: not a function\n    at brigade.js:2:10";
    assert_eq!(turn.state.thrown.as_deref(), Some(at_top));
    assert!(!turn.state.failed);
}

#[test]
fn files_of_the_repository_are_modules() {
    let folder = repository(&[
        ("lib/tool.js", "exports.name = __filename; exports.other = require('../other');"),
        ("other/index.js", "module.exports = 'other';"),
        ("data.json", "{\"a\": [1]}"),
        ("esm.mjs", "import { x } from './more.mjs'; export const y = x + 1;"),
        ("more.mjs", "export const x = 1;"),
        ("cycle.js", "exports.a = 1; exports.b = require('./cycle').a;"),
    ]);
    assert_eq!(
        printed_in(
            &folder,
            "const tool = require('./lib/tool');
             console.log(tool.name, tool.other, require('./lib/tool.js') === tool);
             console.log(require('./data').a, require('./cycle').b);
             import('./esm.mjs').then((module) => console.log(module.y));"
        ),
        format!(
            "{}/lib/tool.js other true\n[ 1 ] 1\n2",
            folder.path().canonicalize().unwrap().display()
        )
    );
}

#[test]
fn nothing_outside_the_repository_is_read() {
    let folder = repository(&[("a.txt", "text"), ("sub/b.txt", "")]);
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret.txt"), "secret").unwrap();
    std::os::unix::fs::symlink(outside.path(), folder.path().join("link")).unwrap();
    let elsewhere = outside.path().join("secret.txt");
    for path in [
        "/etc/passwd",
        "../secret.txt",
        "sub/../../x",
        "link/secret.txt",
        "/proc/self/environ",
        elsewhere.to_str().unwrap(),
    ] {
        let text = format!(
            "try {{ require('fs').readFileSync({path:?}); console.log('read'); }}
             catch (error) {{ console.log(error.code); }}
             console.log(require('fs').existsSync({path:?}));"
        );
        let printed = printed_in(&folder, &text);
        assert!(printed == "EACCES\nfalse" || printed == "ENOENT\nfalse", "{path}: {printed}");
    }
    for path in ["./link/secret", "../secret", "/etc/passwd", "./lib/../../secret"] {
        let mut script = Script::new(usual(), Some(folder.path().to_owned()));
        let turn = script.load(&format!("require({path:?})"));
        assert!(turn.thrown.unwrap().contains("Cannot find module"), "{path}");
    }
}

#[test]
fn the_repository_is_read_and_not_written() {
    let folder = repository(&[("a.txt", "tëxt"), ("sub/b.txt", "")]);
    assert_eq!(
        printed_in(
            &folder,
            "const fs = require('fs');
             console.log(fs.readFileSync('a.txt', 'utf8'), fs.readFileSync('./a.txt').length, fs.readdirSync('.'));
             console.log(fs.readFileSync(process.cwd() + '/a.txt', { encoding: 'utf8' }), fs.statSync('sub').isDirectory());
             fs.promises.readFile('a.txt', 'utf8').then(console.log);
             fs.readFile('a.txt', 'utf8', (error, text) => console.log(error, text));
             try { fs.writeFileSync('x', 'y') } catch (error) { console.log(error.message) }"
        ),
        "tëxt 5 [ 'a.txt', 'sub' ]\ntëxt true\nfs.writeFile is not there: a script reads the repository, and writes nothing. Write in a job.\ntëxt\nnull tëxt"
    );
}
