//! TypeScript: what becomes of it, and what is said when that cannot be.

use proptest::prelude::*;

use super::*;

/// What a script prints, or throws.
fn outcome(name: &str, text: &str) -> String {
    let folder = repository(&[
        (
            "lib.ts",
            "export interface Shape { a: number }\nexport const shape: Shape = { a: 1 };\nexport type { Shape as Other };",
        ),
        ("common.cts", "const a: number = 1;\nexport = { a };"),
        ("typed.mts", "export const mts = 'mts' as const;"),
        ("old.ts", "const value: string = require('path').sep;\nmodule.exports = { value };"),
        (
            "throws.ts",
            "interface A {\n  a: string;\n}\n\nexport function fail(a: A): never {\n  const b: string = a.a;\n  throw new Error(b as string);\n}\n",
        ),
    ]);
    let mut script = Script::new(usual(), Some(folder.path().to_owned()));
    let turn = script.load_as(name, text);
    let stop = turn.stop.map(|stop| format!("{stop:?}"));
    let thrown = turn.thrown.or(turn.state.thrown);
    let all = [Some(script.printed()).filter(|text| !text.is_empty()), thrown, stop];
    all.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

#[test]
fn every_part_of_typescript_works_or_is_refused_with_its_place() {
    for (text, expected) in [
        (
            "const a: number = 1; console.log(a as any, <number>a, a!, a satisfies number)",
            "1 1 1 1",
        ),
        (
            "interface A { a: string } type B = A | null; declare const c: B; abstract class D<T> { abstract m(): T; declare x: number; y?: string } console.log(typeof D, Object.keys(new (class extends D<A> { m() { return { a: '' } } })()))",
            "function [ 'y' ]",
        ),
        (
            "enum Color { Red, Green = 'g', Blue = 1 << 2, Next = Blue + 1 } console.log(Color.Red, Color[0], Color.Green, Color.Blue, Color.Next)",
            "0 Red g 4 5",
        ),
        ("const enum Flag { A = 1, B = A | 2 } console.log(Flag.B)", "3"),
        ("enum A { x = 1 } enum A { y = 2 } console.log(A.x, A.y)", "1 2"),
        (
            "namespace N { export const a = 1; export namespace M { export const b = a + 1 } } console.log(N.a, N.M.b)",
            "1 2",
        ),
        (
            "class P { constructor(private readonly a: number, public b = 2, protected c?: string) {} sum() { return this.a + this.b } } console.log(new P(1).sum(), Object.keys(new P(1)))",
            "3 [ 'a', 'b', 'c' ]",
        ),
        (
            "function over(a: string): void; function over(a: number): void; function over(a: any) { console.log(a) } over(1)",
            "1",
        ),
        (
            "class G<T> { #p: T; static s?: number = 1; constructor(p: T) { this.#p = p } get p(): T { return this.#p } } console.log(new G<number>(4).p, G.s)",
            "4 1",
        ),
        (
            "import { events, Job, type Event } from 'brigadier'; import type { Project } from 'brigadier'; events.on('push', (e: Event, p: Project) => {}); console.log(typeof Job)",
            "function",
        ),
        (
            "import { Shape, shape } from './lib'; import { mts } from './typed.mjs'; const s: Shape = shape; console.log(s.a, mts)",
            "1 mts",
        ),
        (
            "import { shape } from './lib.js'; import common = require('./common.cjs'); console.log(shape, common)",
            "",
        ),
        (
            "const { a } = require('./common.cts'); const { value } = require('./old'); console.log(a, value, require('./lib').shape.a)",
            "1 / 1",
        ),
        ("import fs = require('path'); console.log(fs.sep)", "/"),
        (
            "const log = (target: any, key: string, d: PropertyDescriptor) => { const run = d.value; d.value = function (...all: any[]) { return `<${run.apply(this, all)}>` } };\nclass A { @log say(a: string) { return a } } console.log(new A().say('x'))",
            "<x>",
        ),
        (
            "const tag = (name: string) => (target: any) => { target.tag = name };\n@tag('t') class A { static tag: string } console.log(A.tag)",
            "t",
        ),
        ("const x = await Promise.resolve<number>(2); console.log(x)", "2"),
        ("export {}; const x: Array<string> = ['a']; for (const y of x) console.log(y)", "a"),
        ("const f = async <T,>(a: T): Promise<T> => a; f<string>('g').then(console.log)", "g"),
        ("let a = 1;\nlet b: = 2;", "SyntaxError: Unexpected token\n    at brigade.ts:2:8"),
        (
            "let a: string = 'x';\nlet a: string = 'y';",
            "SyntaxError: Identifier `a` has already been declared\n    at brigade.ts:1:5",
        ),
        ("namespace N {\n  export let a = 1;\n}\nconsole.log(N.a)", "1"),
    ] {
        let outcome = outcome("brigade.ts", text);
        if expected.is_empty() {
            assert!(outcome.contains("brigade.ts:1:"), "{text}\n{outcome}");
        } else {
            assert_eq!(outcome, expected, "{text}");
        }
    }
}

#[test]
fn errors_are_at_their_place_in_the_typescript() {
    let text = "import { fail } from './throws';\n\ntype A = string;\n\ninterface B {\n  c: A;\n}\n\nfunction run(b: B): void {\n  fail({ a: b.c });\n}\n\nrun({ c: 'far' });\n";
    assert_eq!(
        outcome("brigade.ts", text),
        "Error: far\n    at fail (throws.ts:7:19)\n    at run (brigade.ts:10:13)\n    at brigade.ts:13:1"
    );
    let common = "const fs: any = require('path');\ninterface A {}\n\n\nnull!.x;\n";
    assert_eq!(
        outcome("brigade.ts", common),
        "TypeError: cannot read property 'x' of null\n    at brigade.ts:5:1"
    );
    let first = outcome("brigade.cts", "let a: number = null!; (a as any).b.c");
    assert_eq!(first, "TypeError: cannot read property 'b' of null\n    at brigade.cts:1:25");
}

#[test]
fn a_script_without_a_name_is_known_by_its_text() {
    for (text, expected) in [
        ("interface A { a: string }\nconst a: A = { a: 'typed' };\nconsole.log(a.a)", "typed"),
        (
            "import { events } from 'brigadier';\nconst n: number = 1;\nconsole.log(typeof events.on, n)",
            "function 1",
        ),
        ("import { events } from 'brigadier';\nconsole.log(typeof events.on)", "function"),
        ("const a = 1; console.log(a); return;", "1"),
        ("let a = ;", "SyntaxError: unexpected token in expression: ';'\n    at brigade.js:1:9"),
        ("const a: number = ;", "SyntaxError: missing initializer for variable"),
    ] {
        let outcome = outcome("brigade.js", text);
        assert!(outcome.starts_with(expected), "{text}\n{outcome}");
    }
}

#[test]
fn what_is_nested_without_end_is_bounded() {
    let size = (256 << 10) - 64;
    let times = |part: &str| part.repeat(size / part.len() - 1);
    for (head, part, tail) in [
        ("let a = ", "(", ""),
        ("let a = ", "[", ""),
        ("let a = ", "!", "1"),
        ("let a = ", "1+", "1"),
        ("let a = ", "1?1:", "1"),
        ("let a = ", "a=>", "1"),
        ("let a = ", "1**", "1"),
        ("let a = b", ".c", ""),
        ("let a = b", "!", ""),
        ("let a = ", "new ", "a"),
        ("let a = ", "typeof ", "a"),
        ("let a: ", "keyof ", "b"),
        ("let a: b", "[]", ""),
        ("let a: ", "b|", "b"),
        ("let a: ", "b extends c?d:", "e"),
        ("let a: ", "A<", ""),
        ("", "if(1)", ";"),
        ("", "a:", ";"),
        ("", "{", ""),
        ("let a = ", "`${", ""),
        ("", "@a ", "class A {}"),
        ("namespace a", ".b", "{}"),
    ] {
        let text = format!("{head}{}{tail}", times(part));
        let mut script = Script::new(usual(), None);
        let turn = script.load_as("brigade.ts", &text);
        // Whatever is said of it, somebody is there to say it.
        assert!(turn.thrown.is_some() || turn.stop.is_none(), "{part}");
    }
    let large = " ".repeat(size + 65);
    assert!(outcome("brigade.ts", &large).contains("may have 262144 bytes"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is before it, what throws is found where it is.
    #[test]
    fn a_throw_is_found_at_its_line_and_column(
        lines in prop::collection::vec(0_usize..8, 0..30),
        indentation in 0_usize..20,
    ) {
        const LINES: [&str; 8] = [
            "",
            "interface I<T> { a: T; b?: string }",
            "type T = { [key: string]: number } | 'ü😀' | undefined;",
            "// a comment: string",
            "/* another\n over lines */",
            "enum E { A = 1, B = A + 2, C = 'ü' as any }",
            "const f = <T,>(a: T, b?: number): T => { return a as T; };",
            "class C { constructor(private a: number, readonly b = '😀') {} }",
        ];
        let mut text = String::new();
        for line in lines {
            // Each in a block of its own, since names may come twice.
            text += &format!("{{ {} \n}}\n", LINES[line]);
        }
        let line = text.matches('\n').count() + 1;
        let text = format!("{text}{}throw new Error('here')!;\n", " ".repeat(indentation));
        let outcome = outcome("brigade.ts", &text);
        let expected = format!("Error: here\n    at brigade.ts:{line}:{}", indentation + 11);
        prop_assert_eq!(outcome, expected, "{}", text);
    }
}
