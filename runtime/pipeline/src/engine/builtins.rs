//! The JavaScript of this crate: compiled once for the process, since compiling it takes ten times
//! as long as loading what was compiled.

use std::sync::OnceLock;

use rquickjs::loader::Loader;
use rquickjs::loader::bundle::Bundle;
use rquickjs::module::WriteOptions;
use rquickjs::{Context, Ctx, Error, FromJs, Module, Result, Runtime};

/// A file: its name, its text, and what it compiles to.
struct File {
    name: &'static str,
    text: &'static str,
    code: OnceLock<Code>,
}

/// The name and the bytecode of one module.
type Code = &'static [(&'static str, &'static [u8])];

static FILES: [File; 12] = [
    File::new("brigantine:boot.js", include_str!("../js/boot.js")),
    File::new("brigantine:modules.js", include_str!("../js/modules.js")),
    File::new("brigantine:events.js", include_str!("../js/events.js")),
    File::new("brigantine:brigadier.js", include_str!("../js/brigadier.js")),
    File::new("brigantine:fs.js", include_str!("../js/fs.js")),
    File::new("brigantine:brigadier2.js", include_str!("../js/brigadier2.js")),
    File::new("brigantine:util.js", include_str!("../js/util.js")),
    File::new("brigantine:path.js", include_str!("../js/path.js")),
    File::new("brigantine:buffer.js", include_str!("../js/buffer.js")),
    File::new("brigantine:url.js", include_str!("../js/url.js")),
    File::new("brigantine:assert.js", include_str!("../js/assert.js")),
    File::new(SMALL, include_str!("../js/small.js")),
];

/// The file of the built-in modules that take a few lines each: one object of them.
pub(super) const SMALL: &str = "brigantine:small.js";

/// The value of a file, which is one expression; nothing where there is no such file.
pub(super) fn evaluate<'js, V: FromJs<'js>>(ctx: &Ctx<'js>, name: &str) -> Result<Option<V>> {
    let Some(file) = FILES.iter().find(|file| file.name == name) else { return Ok(None) };
    let code = match file.code.get() {
        Some(code) => *code,
        None => {
            let code = file.compile()?;
            // Another thread may have been faster; both have compiled the same.
            file.code.get_or_init(|| code)
        }
    };
    let (module, _done) = Bundle(code).load(ctx, name, None)?.eval()?;
    module.get("default").map(Some)
}

impl File {
    const fn new(name: &'static str, text: &'static str) -> File {
        File { name, text, code: OnceLock::new() }
    }

    /// Compiles the file, in an engine in which no script was.
    fn compile(&self) -> Result<Code> {
        let context = Context::full(&Runtime::new()?)?;
        let bytes = context.with(|ctx| {
            let text = format!("export default {}", self.text);
            Module::declare(ctx, self.name, text)?.write(WriteOptions::default())
        })?;
        if bytes.is_empty() {
            return Err(Error::Unknown);
        }
        // It is kept for as long as the process runs.
        let bytes: &'static [u8] = bytes.leak();
        Ok(vec![(self.name, bytes)].leak())
    }
}
