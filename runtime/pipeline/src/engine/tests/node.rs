//! What scripts take from Node.

use super::*;

#[test]
fn values_are_shown_as_node_shows_them() {
    let examples: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("inspect.json")).unwrap();
    let mut different = Vec::new();
    for example in &examples {
        let (text, expected) =
            (example["script"].as_str().unwrap(), example["printed"].as_str().unwrap());
        let printed = printed(&format!("console.log(({text}))"));
        if printed != expected {
            different.push(format!("--- {text}\nours: {printed}\nnode: {expected}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn texts_are_formatted_as_node_formats_them() {
    for (arguments, expected) in [
        (
            "'%s is %d years and %i, %f, %j, %O, %%, %x', 'Bob', 42.5, 42.9, '1.5', {a:1}, {b:{c:{d:{}}}}, 'extra', {z:1}",
            "Bob is 42.5 years and 42, 1.5, {\"a\":1}, { b: { c: { d: {} } } }, %, %x extra { z: 1 }",
        ),
        ("'%s', null, undefined, 5, -0", "null undefined 5 -0"),
        ("'%d', 'x'", "NaN"),
        ("'a', 'b', 3, {c:1}", "a b 3 { c: 1 }"),
        ("{a:1}, 'b'", "{ a: 1 } b"),
        ("'100%'", "100%"),
        ("'%s %s', 'one'", "one %s"),
        ("'%s', {a:{b:{c:1}}}", "{ a: [Object] }"),
        ("'%s', [1,[2,[3]]]", "[ 1, [Array] ]"),
        ("'%s', Symbol('a')", "Symbol(a)"),
        ("'%c styled', 'css'", " styled"),
        ("'%i', '12px'", "12"),
        ("'%s', 12n", "12n"),
        ("", ""),
    ] {
        assert_eq!(printed(&format!("console.log({arguments})")), expected, "{arguments}");
    }
}

#[test]
fn errors_are_shown_with_their_stack_and_their_members() {
    let printed = printed(
        "console.log(new TypeError('no')); const e = new Error('x'); e.code = 7; console.log({ e });",
    );
    assert_eq!(
        printed,
        "TypeError: no\n    at brigade.js:1:17\n{\n  e: Error: x\n      at brigade.js:1:49 {\n    code: 7\n  }\n}"
    );
}

#[test]
fn the_console_has_its_other_methods() {
    assert_eq!(
        printed(
            "console.info('i'); console.warn('w'); console.error('e'); console.debug('d');
             console.dir({ a: { b: { c: { d: 1 } } } }, { depth: 0 });
             console.group('g'); console.log('in\\nside'); console.groupEnd(); console.log('out');
             console.count(); console.count(); console.count('x');
             console.assert(true, 'no'); console.assert(false, 'yes', 1);
             console.time('t'); console.timeEnd('nothing');
             console.log();"
        ),
        "i\nw\ne\nd\n{ a: [Object] }\ng\n  in\n  side\nout\ndefault: 1\ndefault: 2\nx: 1\nAssertion failed: yes 1\n"
    );
}

#[test]
fn bytes_and_texts_are_converted() {
    assert_eq!(
        printed(
            "console.log(Buffer.from('héllo').toString('base64'), Buffer.from('aMOpbGxv', 'base64').toString(), Buffer.from('ff00', 'hex'));
             console.log(Buffer.from('-_8', 'base64').toString('base64url'), Buffer.from([104, 105]).toString('latin1'), Buffer.alloc(3, 'ab'));
             console.log(Buffer.concat([Buffer.from('a'), Buffer.from('b')]).toString(), Buffer.byteLength('é'), Buffer.isBuffer(Buffer.from('')));
             console.log(JSON.stringify(Buffer.from('a')), Buffer.from('abc').slice(1).toString(), Buffer.from('abc').equals(Buffer.from('abc')));
             console.log(Buffer.from('abcabc').indexOf('ca'), Buffer.from('abc').includes('d'), Buffer.compare(Buffer.from('a'), Buffer.from('b')));
             console.log(btoa('hi'), atob('aGk='), new TextDecoder().decode(new TextEncoder().encode('é')), new TextEncoder().encode('é'));
             console.log(Buffer.from([0xff, 0xfe]).toString(), Buffer.from('\\ud800').length, Buffer.from('zz', 'hex').length);"
        ),
        "aMOpbGxv héllo <Buffer ff 00>\n-_8 hi <Buffer 61 62 61>\nab 2 true\n{\"type\":\"Buffer\",\"data\":[97]} bc true\n2 false -1\naGk= hi é Uint8Array(2) [ 195, 169 ]\n\u{fffd}\u{fffd} 3 0"
    );
}

#[test]
fn digests_are_made() {
    assert_eq!(
        printed(
            "const crypto = require('crypto');
             console.log(crypto.createHash('sha1').update('a').update('bc').digest('hex'));
             console.log(crypto.createHash('sha256').update('abc').digest('base64'));
             console.log(crypto.createHmac('sha256', 'key').update('The quick brown fox jumps over the lazy dog').digest('hex'));
             console.log(crypto.createHash('sha512').update('').digest().length, /^[0-9a-f-]{36}$/.test(crypto.randomUUID()), crypto.randomBytes(40).length);
             try { crypto.createHash('md5') } catch (error) { console.log(error.message) }"
        ),
        "a9993e364706816aba3e25717850c26c9cd0d89d\nungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=\nf7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8\n64 true 40\nDigest method md5 is not there; there are sha1, sha256, sha384 and sha512"
    );
}

#[test]
fn addresses_are_taken_apart() {
    assert_eq!(
        printed(
            "const u = new URL('https://user:pa%20ss@Example.com:443/a/../b c?x=1&y=a+b#frag');
             console.log(u.href, u.host, u.port, u.pathname, u.search, u.hash, u.username, u.origin);
             console.log(u.searchParams.get('y'), [...u.searchParams.keys()]);
             u.searchParams.append('z', 'é&'); u.pathname = '/new'; console.log(`${u}`);
             console.log(new URL('../x', 'http://h:8080/a/b/c').href, new URL('?q', 'http://h/a').href);
             try { new URL('nothing') } catch (error) { console.log(error.code) }
             console.log(new URLSearchParams({ a: 1, b: 'two words' }).toString());
             console.log(require('url').parse('http://h:1/p?q=1').port);"
        ),
        "https://user:pa%20ss@example.com/b%20c?x=1&y=a+b#frag example.com  /b%20c ?x=1&y=a+b #frag user https://example.com\na b [ 'x', 'y' ]\nhttps://user:pa%20ss@example.com/new?x=1&y=a+b&z=%C3%A9%26#frag\nhttp://h:8080/a/x http://h/a?q\nERR_INVALID_URL\na=1&b=two+words\n1"
    );
}

#[test]
fn paths_are_put_together() {
    assert_eq!(
        printed(
            "const path = require('path');
             console.log(path.join('/a', '..', 'b', './c/'), path.resolve('/a', 'b', '../c'), path.normalize('a//b/../..'));
             console.log(path.basename('/a/b.txt', '.txt'), path.extname('x.tar.gz'), path.dirname('/a/b/'), path.relative('/a/b', '/a/c/d'), path.isAbsolute('a'));
             console.log(path.parse('/home/u/f.txt'), path.format({ dir: '/d', base: 'b' }), path.extname('.rc'), path.dirname('a'));"
        ),
        "/b/c/ /a/c .\nb .gz /a ../c/d false\n{ root: '/', dir: '/home/u', base: 'f.txt', ext: '.txt', name: 'f' } /d/b  ."
    );
}

#[test]
fn assertions_fail_with_their_reason() {
    assert_eq!(
        printed(
            "const assert = require('assert');
             assert(true); assert.deepStrictEqual({ a: [1, { b: 2 }] }, { a: [1, { b: 2 }] }); assert.equal(1, '1');
             assert.throws(() => { throw new TypeError('x') }, TypeError);
             for (const f of [() => assert(0, 'zero'), () => assert.strictEqual(1, '1'), () => assert.deepEqual({ a: 1 }, { a: 2 }), () => assert.throws(() => {})]) {
                 try { f(); console.log('passed') } catch (error) { console.log(error.name, error.code, error.message.split('\\n')[0]) }
             }"
        ),
        "AssertionError ERR_ASSERTION zero\nAssertionError ERR_ASSERTION Expected values to be strictly equal:\nAssertionError ERR_ASSERTION Expected values to be loosely deep-equal:\nAssertionError ERR_ASSERTION Missing expected exception."
    );
}

#[test]
fn the_process_is_that_of_a_worker() {
    assert_eq!(
        printed(
            "const { env } = process;
             console.log(env.CI, env.BRIGADE_BUILD_ID, env.BRIGADE_EVENT_TYPE, env.BRIGADE_COMMIT_REF, env.BRIGADE_REMOTE_URL, env.BRIGADE_LOG_LEVEL, env.HOME, env.PATH);
             console.log(process.argv.length, process.platform, typeof process.hrtime()[0], process.cwd());
             process.nextTick(() => console.log('tick'));
             process.stdout.write('no '); process.stdout.write('end\\nof line\\n');
             console.log(typeof setTimeout, typeof queueMicrotask, global === globalThis, typeof require, typeof module.exports, __filename);"
        ),
        "true 01kag00000000000000000000a push refs/heads/main https://github.com/org/app.git LOG undefined undefined\n2 linux number /vcs\nno end\nof line\nfunction function true function object /vcs/brigade.js\ntick"
    );
}

#[test]
fn values_are_cloned() {
    assert_eq!(
        printed(
            "const a = { d: new Date(0), m: new Map([[1, { x: [1, , 3] }]]), b: Buffer.from('hi') }; a.self = a;
             const b = structuredClone(a);
             console.log(b.self === b, b.m.get(1) !== a.m.get(1), b.m, b.d, b.b.length);
             try { structuredClone(() => 1) } catch (error) { console.log(error.name) }"
        ),
        "true true Map(1) { 1 => { x: [ 1, <1 empty item>, 3 ] } } 1970-01-01T00:00:00.000Z 2\nDataCloneError"
    );
}

#[test]
fn random_numbers_are_the_same_in_every_evaluation() {
    let text = "console.log([1, 2, 3].map(() => Math.random()), Math.random() < 1)";
    assert_eq!(printed(text), printed(text));
    let spread = printed(
        "const n = Array.from({ length: 1000 }, Math.random); console.log(n.filter((x) => x < 0.5).length > 400, new Set(n).size > 990, Math.min(...n) >= 0)",
    );
    assert_eq!(spread, "true true true");
}

#[test]
fn everything_random_is_the_same_in_every_evaluation() {
    let text = "const crypto = require('crypto');
        console.log(crypto.randomUUID(), crypto.randomBytes(3), globalThis.crypto.getRandomValues(new Uint8Array(2)), crypto.randomInt(1000))";
    assert_eq!(printed(text), printed(text));
    let two =
        printed("const c = require('crypto'); console.log(c.randomUUID() === c.randomUUID())");
    assert_eq!(two, "false");
}

#[test]
fn the_clock_is_the_builds_and_stands_still_while_the_script_runs() {
    let mut script = Script::new(usual(), None);
    let turn = script.load(
        "globalThis.show = () => console.log(Date.now(), new Date().toISOString(), +new Date(5), performance.now(), process.uptime(), process.hrtime.bigint());
         const before = Date.now();
         let sum = 0;
         for (let n = 0; n < 300000; n++) sum += n;
         console.log(Date.now() === before, new Date() instanceof Date, new Date().constructor === Date, Date.length, typeof Date());
         class Mine extends Date { year() { return this.getUTCFullYear(); } }
         console.log(new Mine(0).year(), new Mine() instanceof Mine, Date.UTC(1970, 0, 1), Object.prototype.toString.call(new Date()));
         show(); setTimeout(show, 5);",
    );
    assert_eq!(turn.thrown, None);
    script.engine.set_clock(1234);
    script.engine.set_clock(1000); // It never goes back.
    script.engine.turn(Delivery::Timer(1));
    assert_eq!(
        script.printed(),
        "true true true 7 string\n1970 true 0 [object Date]\n0 1970-01-01T00:00:00.000Z 5 0 0 0n\n1234 1970-01-01T00:00:01.234Z 5 1234 1.234 1234000000n"
    );
}

#[test]
fn emitters_are_as_in_node() {
    assert_eq!(
        printed(
            "const EventEmitter = require('events');
             const e = new EventEmitter.EventEmitter();
             const f = () => console.log('f');
             e.on('a', f).prependListener('a', () => console.log('first')).once('a', (x) => console.log('once', x));
             e.emit('a', 1); e.off('a', f); console.log(e.emit('a', 2), e.listenerCount('a'), e.eventNames());
             try { e.emit('error', new Error('boom')) } catch (error) { console.log(error.message) }
             e.removeAllListeners(); console.log(e.emit('a'));
             class Sub extends EventEmitter {}; console.log(new Sub() instanceof EventEmitter);
             require('util').promisify((x, done) => done(null, x * 2))(21).then(console.log);"
        ),
        "first\nf\nonce 1\nfirst\ntrue 1 [ 'a' ]\nboom\nfalse\ntrue\n42"
    );
}

#[test]
fn files_are_read_as_node_reads_them() {
    let folder = repository(&[("a.txt", "tëxt"), ("sub/b.txt", "b"), ("sub/deep/c.txt", "")]);
    assert_eq!(
        printed_in(
            &folder,
            "const fs = require('fs');
             console.log(fs.readdirSync('.', { withFileTypes: true }).map((e) => e.name + e.isDirectory()), fs.readdirSync('sub', { recursive: true }));
             const stat = fs.statSync('a.txt'); console.log(stat.size, stat.isFile(), stat.isDirectory(), stat.mtime instanceof Date);
             console.log(fs.statSync('none', { throwIfNoEntry: false }), fs.existsSync('sub'), fs.existsSync(null));
             for (const f of [() => fs.readFileSync('none'), () => fs.readFileSync('sub'), () => fs.readdirSync('a.txt'), () => fs.readFileSync('/etc/passwd'), () => fs.readFileSync(5), () => fs.accessSync('a.txt', fs.constants.W_OK), () => fs.writeFileSync('a.txt', ''), () => fs.createReadStream('a.txt')]) {
               try { f(); console.log('read') } catch (error) { console.log(error.code, error.syscall, error.path) }
             }
             console.log(fs.realpathSync('sub/../a.txt') === process.cwd() + '/a.txt', fs.readFileSync(require('url').pathToFileURL('a.txt'), 'utf8'));
             fs.access('none', (error) => console.log('access', error.code));
             import('fs/promises').then(async (promises) => console.log(await promises.readdir('sub'), await promises.writeFile('x', '').catch((error) => error.code)));",
        ),
        "[ 'a.txtfalse', 'subtrue' ] [ 'b.txt', 'deep', 'deep/c.txt' ]
5 true false true
undefined true false
ENOENT open none
EISDIR open sub
ENOTDIR scandir a.txt
EACCES open /etc/passwd
ERR_INVALID_ARG_TYPE undefined undefined
EROFS access a.txt
EROFS undefined undefined
undefined undefined undefined
true tëxt
access ENOENT
[ 'b.txt', 'deep' ] EROFS"
    );
}

#[test]
fn the_small_modules_are_there() {
    assert_eq!(
        printed(
            "const { StringDecoder } = require('string_decoder');
             const decoder = new StringDecoder('utf8'); const bytes = Buffer.from('é€😀');
             console.log([...bytes].map((byte) => decoder.write(Buffer.from([byte]))).join('|'), decoder.write(Buffer.from([0xe2])) + decoder.end());
             const { builtinModules, createRequire, isBuiltin } = require('module');
             console.log(builtinModules.includes('path'), isBuiltin('node:fs'), isBuiltin('http'), createRequire('/vcs/x.js')('path') === require('path'));
             const { AsyncLocalStorage } = require('async_hooks'); const store = new AsyncLocalStorage();
             console.log(store.run(5, () => store.getStore()), store.getStore());
             const os = require('os'); console.log(os.EOL === '\\n', os.platform(), os.tmpdir(), os.cpus().length, require('tty').isatty(1));
             console.log(require('util/types').isDate(new Date()), require('util').types.isUint8Array(Buffer.alloc(1)), typeof require('perf_hooks').performance.now());
             console.log(require('querystring').parse('a=1&a=2&b=x%20y'), require('querystring').stringify({ a: [1, 2], b: 'x y' }));
             const url = require('url'); console.log(url.fileURLToPath('file:///a%20b/c'), url.pathToFileURL('/a b/#c').href);
             try { url.fileURLToPath('http://x/y') } catch (error) { console.log(error.code) }
             try { createRequire('/etc/x.js') } catch (error) { console.log(error.message) }"
        ),
        "|é|||€||||😀 \u{fffd}
true true false true
5 undefined
true linux /tmp 0 false
true true number
[Object: null prototype] { a: [ '1', '2' ], b: 'x y' } a=1&a=2&b=x%20y
/a b/c file:///a%20b/%23c
ERR_INVALID_URL_SCHEME
createRequire takes a file of the repository, which /etc/x.js is not"
    );
}

#[test]
fn what_is_aborted_says_so() {
    assert_eq!(
        printed(
            "const controller = new AbortController(); const { signal } = controller;
             signal.addEventListener('abort', () => console.log('told', signal.aborted), { once: true });
             signal.onabort = () => console.log('on');
             controller.abort(); controller.abort(new Error('again'));
             console.log(signal.reason.name, AbortSignal.abort(5).reason, AbortSignal.any([new AbortController().signal, signal]).aborted);
             try { signal.throwIfAborted() } catch (error) { console.log(error.message) }"
        ),
        "told true\non\nAbortError 5 true\nThis operation was aborted"
    );
}
