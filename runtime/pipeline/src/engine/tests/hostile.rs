//! Scripts that mean harm: bounded, and explained.

use super::*;

fn small() -> Limits {
    Limits {
        memory: 16 << 20,
        running: Duration::from_millis(300),
        jobs: 10,
        timers: 20,
        output: 10_000,
        ..Limits::default()
    }
}

/// Runs a script that must end by itself in a few seconds, and gives what it came to.
fn ends(text: &str) -> (String, Option<String>, Option<Stop>) {
    let begin = Instant::now();
    let mut script = Script::new(small(), None);
    let turn = script.load(text);
    assert!(begin.elapsed() < Duration::from_secs(5), "{text} took {:?}", begin.elapsed());
    (script.printed(), turn.thrown, turn.stop)
}

#[test]
fn what_runs_for_ever_is_stopped() {
    for text in [
        "for (;;);",
        "while (true) { try { for (;;); } catch {} finally { for (;;); } }",
        "Promise.resolve().then(function f() { return Promise.resolve().then(f); })",
        "(async () => { for (;;) await null; })()",
        "queueMicrotask(function f() { queueMicrotask(f); })",
        "/^(a+)+$/.test('a'.repeat(40) + '!')",
        "[...Array(1e5)].map((_, i) => i).sort(() => { for (;;); })",
        "function* g() { for (;;) yield 1; } for (const x of g());",
        "new Proxy({}, { get(t, k, r) { for (;;); } }).x",
        "({ toString() { for (;;); } }) + ''",
        "console.log({ get [Symbol.toStringTag]() { for (;;); } })",
        "const { Job } = require('brigadier'); const j = new Job('a', 'b'); j.env = { get X() { for (;;); } }; j.run()",
        "Error.prepareStackTrace = () => { for (;;); }; null.x",
        "process.on('unhandledRejection', () => { Promise.reject(1); }); Promise.reject(1);",
    ] {
        let (_, thrown, stop) = ends(text);
        // The one that chains promises for ever may use up its memory before its time.
        let memory = matches!(&stop, Some(Stop::Broken(text)) if text.contains("out of memory"));
        assert!(memory || stop == Some(Stop::Time), "{text}: {thrown:?} {stop:?}");
    }
}

#[test]
fn memory_is_bounded() {
    for text in [
        "const a = []; for (;;) a.push(new Array(1000).fill(1));",
        "let s = 'x'; for (;;) s += s;",
        "new ArrayBuffer(1e9)",
        "'x'.repeat(2 ** 29)",
        "const m = new Map(); for (let i = 0; ; i++) m.set(i, { i });",
        "JSON.stringify(Array(1e6).fill('xxxxxxxxxxxxxxxxxxxxxxxxxxxx'))",
        "Buffer.alloc(1e9)",
    ] {
        let (_, thrown, stop) = ends(text);
        let explained = thrown.as_deref().is_some_and(|text| {
            ["out of memory", "invalid array", "string too long", "invalid length"]
                .iter()
                .any(|word| text.contains(word))
        });
        assert!(explained || stop.is_some(), "{text}: {thrown:?} {stop:?}");
    }
}

#[test]
fn recursion_is_bounded() {
    for text in [
        "(function f() { f(); })()",
        "const a = []; a[0] = a; let b = a; for (let i = 0; i < 1e5; i++) b = [b]; console.log(b.flat(Infinity)); JSON.stringify(b)",
        "class A { constructor() { new A(); } } new A()",
        "const o = { toJSON() { return JSON.stringify(o); } }; JSON.stringify(o)",
        "new RegExp('('.repeat(1e5) + ')'.repeat(1e5))",
        "eval('['.repeat(1e5))",
        "JSON.parse('['.repeat(1e6))",
        "const f = () => { try { f(); } catch { throw new Error('deep'); } }; f()",
        "let p = {}; for (let i = 0; i < 1e5; i++) p = new Proxy(p, {}); p.x",
    ] {
        let (_, thrown, stop) = ends(text);
        assert!(thrown.is_some() || stop.is_some(), "{text}");
    }
}

#[test]
fn recursion_through_modules_is_bounded() {
    let mut files = Vec::new();
    let deep = "function f(n) { return n === 0 ? require('./NEXT') : f(n - 1); } for (let n = 4000; n > 0; n -= 200) { try { f(n); break; } catch (e) { if (!/stack/.test(e.message)) throw e; } }";
    let texts: Vec<(String, String)> = (0..40)
        .map(|n| (format!("m{n}.js"), deep.replace("NEXT", &format!("m{}", n + 1))))
        .chain([("m40.js".to_owned(), "module.exports = 1".to_owned())])
        .collect();
    for (name, text) in &texts {
        files.push((name.as_str(), text.as_str()));
    }
    let folder = repository(&files);
    let mut script = Script::new(Limits::default(), Some(folder.path().to_owned()));
    // It ends without having overrun the stack of the thread, whatever it comes to.
    let turn = script.load("require('./m0')");
    assert!(turn.stop.is_none(), "{turn:?}");
}

#[test]
fn recursion_through_built_in_modules_is_bounded() {
    let mut script = Script::new(Limits::default(), None);
    // Each module is loaded as deep as the stack lets it be.
    let turn = script.load(
        "const names = ['util', 'url', 'buffer', 'assert', 'path', 'crypto', 'fs', 'os', 'querystring', 'timers/promises'];
         function dive() {
             try { dive(); } catch {}
             while (names.length) { try { require(names.at(-1)); names.pop(); dive(); } catch { break; } }
         }
         dive(); console.log('survived');",
    );
    assert!(turn.stop.is_some() || script.printed() == "survived", "{turn:?}");
}

#[test]
fn jobs_and_timers_are_counted() {
    let (printed, ..) = ends(
        "const { Job } = require('brigadier');
         try { for (let i = 0; ; i++) new Job('j' + i, 'x').run(); } catch (error) { console.log(error.message); }
         try { for (;;) setTimeout(() => {}, 1e6); } catch (error) { console.log(error.message); }",
    );
    assert_eq!(
        printed,
        "a build may run 10 jobs, and job j10 would be one more\na build may have 20 timers pending at once"
    );
    let (_, thrown, stop) =
        ends("for (let i = 0; i < 1e6; i++) clearTimeout(setTimeout(() => {}, 5));");
    assert!(thrown.is_none() || stop == Some(Stop::Time), "{thrown:?}");
}

#[test]
fn what_is_kept_outside_of_the_engine_is_bounded() {
    let limits = || Limits { running: Duration::from_secs(30), ..Limits::default() };
    for (text, expected) in [
        (
            "const { Job } = require('brigadier');
             for (let i = 0; i < 100; i++) { const j = new Job('j' + i, 'i'); j.tasks = ['x'.repeat(9e5)]; j.run(); }",
            "RangeError: a job may take 1048576 bytes with its tasks and its environment, and all jobs of a build 33554432",
        ),
        (
            "const { Job } = require('brigadier'); const j = new Job('a', 'i'); j.env = { A: 'x'.repeat(2e6) }; j.run();",
            "RangeError: a job may take 1048576 bytes",
        ),
    ] {
        let mut script = Script::new(limits(), None);
        let turn = script.load(text);
        let failed = turn.thrown.unwrap_or_else(|| script.printed());
        assert!(failed.contains(expected), "{text}: {failed} {:?}", turn.stop);
    }
    let mut script = Script::new(limits(), None);
    let turn = script.load("for (let i = 0; i < 6e4; i++) clearTimeout(setTimeout(() => {}, 5));");
    assert_eq!((turn.thrown, turn.commands.len()), (None, 0));
    let mut script = Script::new(small(), None);
    let turn = script.load(
        "const { Job } = require('brigadier'); const j = new Job('a', 'i'); j.run(); for (;;) j.logs();",
    );
    let ended = turn.stop.is_some() || turn.thrown.is_some();
    assert!(ended && turn.commands.len() <= COMMANDS, "{turn:?}");
}

#[test]
fn output_is_bounded_in_every_way_of_printing() {
    for text in [
        "for (let i = 0; i < 1e5; i++) console.log('a line of some length ' + i)",
        "console.log('x'.repeat(1e6))",
        "for (let i = 0; i < 1e5; i++) process.stdout.write('no end of line')",
        "for (let i = 0; i < 1e5; i++) console.log('')",
    ] {
        let limits = Limits { running: Duration::from_secs(20), ..small() };
        let mut script = Script::new(limits, None);
        script.load(text);
        let printed = script.printed();
        assert!(printed.len() < 11_000, "{text}: {}", printed.len());
        assert!(
            printed.ends_with("[brigade] the build has printed 10000 bytes; the rest is not shown"),
            "{text}"
        );
    }
}

#[test]
fn polluted_prototypes_harm_only_the_script_itself() {
    for pollution in [
        "Object.prototype.privileged = true; Object.prototype.serviceAccount = 'admin';",
        "Object.prototype.toJSON = function () { return { name: 'one', image: 'image' }; };",
        "Array.prototype.push = () => { throw new Error('push'); };",
        "Array.prototype[Symbol.iterator] = null;",
        "Map.prototype.get = () => { throw new Error('get'); }; Map.prototype.set = () => {};",
        "Promise.prototype.then = () => { throw new Error('then'); };",
        "JSON.stringify = () => '{\"name\":\"evil\"}'; JSON.parse = () => ({});",
        "String.prototype.toWellFormed = () => 'lies';",
        "Object.entries = () => [['x', 'y']]; Object.fromEntries = () => ({ hostPath: 1 });",
        "Object.defineProperty(Object.prototype, 'hostPath', { get() { return { path: '/' }; } });",
        "globalThis.Error = function () {}; delete globalThis.Promise; globalThis.Object = null;",
    ] {
        let mut script = Script::new(small(), None);
        let turn = script.load(&format!(
            "const {{ events, Job }} = require('brigadier');
             events.on('push', () => {{ new Job('one', 'image').run(); }});
             {pollution}"
        ));
        if turn.stop.is_some() || turn.thrown.is_some() {
            continue;
        }
        let turn = script.engine.turn(Delivery::Fire("push".to_owned()));
        for command in turn.commands {
            let Command::Run { job, .. } = command else { continue };
            assert_eq!((job.service_account, job.privileged), (None, false), "{pollution}");
            assert!(job.volumes.is_empty(), "{pollution}");
        }
    }
}

#[test]
fn the_host_is_out_of_reach() {
    let printed = printed(
        "const seen = [];
         for (const name of Object.getOwnPropertyNames(globalThis)) {
             if (/^host|dispatch|brigantine|^internal/.test(name)) seen.push(name);
         }
         console.log(seen, typeof host, typeof internal, typeof dispatch);
         console.log((() => { try { return Function('return this')() === globalThis } catch (e) { return e.message } })());
         console.log(Object.getOwnPropertySymbols(require('brigadier')).length);
         const callerOf = (f) => { try { return f.caller } catch { return null } };
         console.log([console.log, require, setTimeout].map(callerOf).every((caller) => !caller) || 'seen');",
    );
    assert!(printed.starts_with("[] undefined undefined undefined\ntrue\n"), "{printed}");
    assert!(!printed.contains("seen"), "{printed}");
}

#[test]
fn exit_cannot_be_caught() {
    for text in [
        "try { process.exit(5) } catch { } finally { console.log('finally') } console.log('after')",
        "(async () => { try { process.exit(5) } finally { console.log('finally') } })(); console.log('after')",
        "new Promise(() => process.exit(5)).catch(() => {}); console.log('after')",
        "[1].forEach(() => process.exit(5)); console.log('after')",
    ] {
        let (printed, _, stop) = ends(text);
        assert_eq!(stop, Some(Stop::Exit(5)), "{text}");
        assert_eq!(printed, "", "{text}");
    }
    let (.., stop) = ends("process.exit()");
    assert_eq!(stop, Some(Stop::Exit(0)));
}

#[test]
fn texts_that_are_no_texts_arrive() {
    assert_eq!(printed("console.log('\\ud800' + 'x')"), "\u{fffd}x");
    assert_eq!(printed("console.log('a\\0b')"), "a\0b");
    assert!(thrown("let a = 'x\0y'").contains("NUL"));
}

#[test]
fn an_abandoned_turn_ends_soon() {
    let mut script = Script::new(Limits::default(), None);
    let abandon = script.engine.abandon();
    let begin = Instant::now();
    let running = std::thread::spawn(move || script.load("for (;;);"));
    abandon();
    assert_eq!(running.join().unwrap().stop, Some(Stop::Time));
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[test]
fn an_engine_may_be_dropped_with_everything_pending() {
    for _ in 0..50 {
        let mut script = Script::new(small(), None);
        let turn = script.load(
            "const { Job } = require('brigadier');
             const cycle = {}; cycle.self = cycle; globalThis.kept = cycle;
             setTimeout(() => cycle, 1000);
             new Job('a', 'b').run().then(() => cycle);
             (async () => { await new Promise(() => {}); })();",
        );
        assert_eq!(turn.thrown, None);
    }
}
