//! Scripts that mean harm: bounded, and explained.

use super::*;

/// Little of everything but of time, which no script is to run out of.
fn small() -> Limits {
    Limits {
        memory: 16 << 20,
        running: Duration::from_secs(60),
        jobs: 10,
        timers: 20,
        output: 10_000,
        ..Limits::default()
    }
}

/// So little time that a script that never ends is soon stopped.
fn hasty() -> Limits {
    Limits { running: Duration::from_millis(300), ..small() }
}

/// Runs a script, and gives what it printed and came to.
fn ends(limits: Limits, text: &str) -> (String, Option<String>, Option<Stop>) {
    let mut script = Script::new(limits, None);
    let turn = script.load(text);
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
        "(async () => { for (;;) await { then(f) { f() } } })()",
        "const f = () => process.nextTick(f); f()",
        "const j = new (require('brigadier').Job)('a', 'b'); j.timeout = { valueOf() { for (;;); } }; j.run()",
        "const { events, Job } = require('brigadier'); events.on('brigade.sh/github', 'push', () => { for (;;); }); events.process()",
        "const { Job } = require('brigadier'); const j = new Job('a', 'b', {}); j.sidecarContainers = { get a() { for (;;); } }; j.run()",
        "process.exit({ valueOf() { for (;;); } })",
        "throw new Proxy(new Error('x'), { get() { for (;;); } })",
        "Map.prototype[Symbol.iterator] = function* () { for (;;) yield [1, 2] }; Promise.reject(1)",
        "for (;;) require('crypto').randomBytes(65536)",
        "const h = require('crypto').createHash('sha512'); for (;;) h.update('x'.repeat(1e5))",
        "for (;;) Buffer.from('x'.repeat(1e5)).toString('base64')",
        "console.log(new Array(1e9))",
        "/(x+x+)+y/.test('x'.repeat(1e5))",
    ] {
        let mut script = Script::new(hasty(), None);
        let turn = script.load(text);
        // The one that chains promises for ever may use up its memory before its time; what it
        // rejects with then is null where there is no memory left for an error.
        let ended = match &turn.stop {
            Some(Stop::Broken(why)) => why.contains("out of memory"),
            Some(stop) => *stop == Stop::Time,
            None => {
                let chained = text.starts_with("Promise.resolve()") && turn.state.failed;
                let said = script.printed();
                chained && (said == "[brigade:app] null" || said.contains("out of memory"))
            }
        };
        assert!(ended, "{text}: {} {turn:?}", script.printed());
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
        "const f = []; for (let i = 0; ; i++) f.push(() => i)",
        "let f = () => {}; for (;;) f = f.bind(null, f)",
        "'a'.repeat(1e6).replace(/a/g, 'b'.repeat(1e4))",
        "let p = {}; for (;;) p = new Proxy(p, {})",
        "let p = Promise.resolve(); for (;;) p = p.then(() => p)",
        "const { events } = require('brigadier'); for (let i = 0; ; i++) events.on('e' + i, () => {})",
        "const { events } = require('brigadier'); for (let i = 0; ; i++) events.on('s', 'e' + i, () => {})",
        "const s = Symbol; const a = []; for (;;) a.push(s('x'.repeat(1e4)))",
        "let x = 'a'; eval('x' + '.b'.repeat(1e6))",
        "[].concat(...Array(6e4).fill(Array(1e4).fill(1)))",
        "new Uint8Array(1e9)",
        "new SharedArrayBuffer(1e9)",
        "new ArrayBuffer(8, { maxByteLength: 1e9 }).resize(1e9)",
        "let e; for (;;) e = new Error('x'.repeat(1e4), { cause: e })",
        "const a = []; for (;;) a.push(/a/ [Symbol.match]('a'.repeat(1e3)))",
    ] {
        let (_, thrown, stop) = ends(small(), text);
        let explained = thrown.as_deref().is_some_and(|text| {
            [
                "out of memory",
                "invalid array",
                "invalid max array",
                "string too long",
                "invalid length",
            ]
            .iter()
            .any(|word| text.contains(word))
        });
        let ended = explained || matches!(stop, Some(Stop::Broken(_)));
        assert!(ended, "{text}: {thrown:?} {stop:?}");
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
        "const a = { toString() { return a + '' } }; a + ''",
        "const a = { valueOf() { return +a } }; +a",
        "const a = { get x() { return this.x } }; a.x",
        "const p = new Proxy({}, { get(t, k, r) { return r[k] } }); p.x",
        "let o = {}; for (let i = 0; i < 5e4; i++) o = { o }; require('util').inspect(o, { depth: Infinity })",
        "let o = {}; for (let i = 0; i < 5e4; i++) o = { o }; structuredClone(o)",
        "let o = []; for (let i = 0; i < 5e4; i++) o = [o]; String(o)",
        "class A { static [Symbol.hasInstance](x) { return x instanceof A } } 1 instanceof A",
        "function* g() { yield* g() } [...g()]",
        "eval('{'.repeat(2e5))",
        "eval('a=>'.repeat(1e5) + '1')",
        "eval('`${'.repeat(5e4))",
        "const { Job } = require('brigadier'); const j = new Job('a', 'b'); let v = {}; for (let i = 0; i < 5e4; i++) v = { v }; j.volumes = [v]; j.run()",
        "const { events } = require('brigadier'); events.on('newListener', () => events.on('a', () => {})); events.on('b', () => {})",
    ] {
        let (_, thrown, stop) = ends(small(), text);
        let ended = thrown.is_some() || matches!(stop, Some(Stop::Broken(_)));
        assert!(ended, "{text}: {stop:?}");
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
    let mut script = Script::new(usual(), Some(folder.path().to_owned()));
    // It ends without having overrun the stack of the thread, whatever it comes to.
    let turn = script.load("require('./m0')");
    assert!(turn.stop.is_none(), "{turn:?}");
}

#[test]
fn recursion_through_built_in_modules_is_bounded() {
    let mut script = Script::new(usual(), None);
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
        small(),
        "const { Job } = require('brigadier');
         try { for (let i = 0; ; i++) new Job('j' + i, 'x').run(); } catch (error) { console.log(error.message); }
         try { for (;;) setTimeout(() => {}, 1e6); } catch (error) { console.log(error.message); }",
    );
    assert_eq!(
        printed,
        "a build may run 10 jobs, and job j10 would be one more; limits.scriptJobs of the project raises that, up to SCRIPT_LIMITS of the installation\na build may have 20 timers pending at once; limits.scriptTimers of the project raises that, up to SCRIPT_LIMITS of the installation"
    );
    let (_, thrown, stop) =
        ends(hasty(), "for (let i = 0; i < 1e6; i++) clearTimeout(setTimeout(() => {}, 5));");
    assert!(thrown.is_none() || stop == Some(Stop::Time), "{thrown:?}");
}

#[test]
fn what_is_kept_outside_of_the_engine_is_bounded() {
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
        let mut script = Script::new(usual(), None);
        let turn = script.load(text);
        let failed = turn.thrown.unwrap_or_else(|| script.printed());
        assert!(failed.contains(expected), "{text}: {failed} {:?}", turn.stop);
    }
    let mut script = Script::new(usual(), None);
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
        let mut script = Script::new(small(), None);
        script.load(text);
        let printed = script.printed();
        assert!(printed.len() < 11_000, "{text}: {}", printed.len());
        assert!(
            printed.ends_with(
                "[brigade] the build has printed 10000 bytes; the rest is not shown; limits.scriptOutput of the project raises that, up to SCRIPT_LIMITS of the installation"
            ),
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
        let (printed, _, stop) = ends(small(), text);
        assert_eq!(stop, Some(Stop::Exit(5)), "{text}");
        assert_eq!(printed, "", "{text}");
    }
    let (.., stop) = ends(small(), "process.exit()");
    assert_eq!(stop, Some(Stop::Exit(0)));
}

#[test]
fn whatever_is_thrown_is_told() {
    for (text, expected) in [
        ("throw undefined", "undefined"),
        ("throw 'x'", "x"),
        ("throw Symbol('x')", "Symbol(x)"),
        ("throw Object.create(null)", "[Object: null prototype] {}"),
        ("throw null", "null, which a script that is out of memory throws, too"),
        (
            "throw { toString() { throw 1 }, get message() { throw 2 }, get stack() { throw 3 } }",
            "{ toString: [Function: toString], message: [Getter], stack: [Getter] }",
        ),
        (
            "throw new Proxy({}, { get() { throw 1 }, ownKeys() { throw 2 }, getPrototypeOf() { throw 3 } })",
            "an error that cannot be printed; the script may be out of memory",
        ),
        (
            "const e = new Error('m'); e.toString = () => { throw 1 }; Object.defineProperty(e, 'name', { get() { throw 1 } }); throw e",
            "an error that cannot be printed; the script may be out of memory",
        ),
        (
            "Error.prepareStackTrace = () => { throw new Error('mine') }; null.x",
            "TypeError: cannot read property 'x' of null",
        ),
    ] {
        let told = thrown(text);
        assert!(told.starts_with(expected), "{text}: {told}");
    }
}

#[test]
fn whatever_rejects_is_told_and_no_error_is_endless() {
    for (text, expected) in [
        ("Promise.reject(null)", "[brigade:app] null"),
        ("Promise.reject({ then() { throw 1 } })", "[brigade:app] { then: [Function: then] }"),
        (
            "(async () => { await { then(f, r) { r(new Error('r')) } } })()",
            "[brigade:app] Error: r",
        ),
        ("Promise.reject(new Error('x'.repeat(1e5)))", "... and "),
    ] {
        let mut script = Script::new(usual(), None);
        let turn = script.load(text);
        let printed = script.printed();
        assert!(turn.state.failed, "{text}");
        assert!(printed.contains(expected) && printed.len() < 40_000, "{text}: {}", printed.len());
    }
}

#[test]
fn what_is_told_of_handlers_is_bounded() {
    let mut script = Script::new(usual(), None);
    let turn = script.load(
        "const { events } = require('brigadier');
         events.on('\\ud800', () => {}); events.on('x'.repeat(1e6), () => {});
         for (let i = 0; i < 5000; i++) events.on('e' + i, () => {});
         events.on('after', () => {}); events.on('s', '\\udfff', () => {});",
    );
    assert_eq!((turn.thrown, turn.stop), (None, None));
    let handlers = turn.state.handlers;
    assert_eq!((handlers.len(), handlers[0].as_str(), handlers[1].len()), (1001, "\u{fffd}", 253));
    assert_eq!(handlers.last().map(String::as_str), Some("after"));
}

#[test]
fn an_exit_code_is_a_byte_of_any_number() {
    for (text, expected) in [
        ("process.exitCode = 3", Some(3)),
        ("process.exitCode = 256", Some(0)),
        ("process.exitCode = -1", Some(255)),
        ("process.exitCode = 1e100", Some(0)),
        ("process.exitCode = { toString() { for (;;); } }", None),
        ("process.exitCode = NaN", None),
    ] {
        let mut script = Script::new(small(), None);
        let turn = script.load(text);
        assert_eq!((turn.stop, turn.state.exit_code), (None, expected), "{text}");
    }
}

#[test]
fn a_job_may_be_seen_through_a_proxy() {
    for job in ["new Job('one', 'i', ['true'])", "new Job('one', 'i', { worker: {} })"] {
        let mut script = Script::new(small(), None);
        let turn = script.load(&format!(
            "const {{ Job }} = require('brigadier'); const job = new Proxy({job}, {{}}); job.run(); console.log(job.podName);"
        ));
        assert_eq!(turn.thrown, None);
        assert!(matches!(&turn.commands[..], [Command::Run { .. }]), "{turn:?}");
        assert_eq!(script.printed(), "one-01kag00000000000000000000a");
    }
}

#[test]
fn nothing_of_the_machine_is_within_reach() {
    let printed = printed(
        "const tries = [
             () => require('fs').readFileSync('/proc/self/environ'),
             () => require('/etc/passwd'),
             () => require('../../../../etc/passwd'),
             () => require('file:///etc/passwd'),
             () => require('child_process'), () => require('net'), () => require('worker_threads'),
             () => Atomics.wait(new Int32Array(new SharedArrayBuffer(8)), 0, 0),
             () => process.binding('fs'), () => process.dlopen({}, 'x'), () => process.kill(1),
         ];
         for (const attempt of tries) {
             try { attempt(); console.log('DONE', attempt); } catch (error) { }
         }
         for (const name of ['std', 'os', 'scriptArgs', 'Worker', 'fetch', 'WebAssembly', 'XMLHttpRequest', 'bjson']) {
             if (typeof globalThis[name] !== 'undefined') console.log('THERE', name);
         }
         for (const path of ['/etc/passwd', '../../etc/passwd', 'std', 'file:///etc/passwd']) {
             import(path).then(() => console.log('IMPORTED', path), () => {});
         }
         console.log(process.pid, process.env.HOME, process.env.PATH);",
    );
    assert_eq!(printed, "1 undefined undefined");
}

#[test]
fn texts_that_are_no_texts_arrive() {
    assert_eq!(printed("console.log('\\ud800' + 'x')"), "\u{fffd}x");
    assert_eq!(printed("console.log('a\\0b')"), "a\0b");
    assert!(thrown("let a = 'x\0y'").contains("NUL"));
}

#[test]
fn an_abandoned_turn_ends_soon() {
    // Much longer than anybody waits here.
    let running = Duration::from_secs(600);
    let mut script = Script::new(Limits { running, ..small() }, None);
    let abandon = script.engine.abandon();
    let (end, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || end.send(script.load("for (;;);").stop));
    abandon();
    assert_eq!(ended.recv_timeout(Duration::from_secs(60)), Ok(Some(Stop::Time)));
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
