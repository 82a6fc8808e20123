//! ES modules, and the loading of the script itself.
//!
//! What an ES module imports that is none is made one: a built-in, a CommonJS file and a JSON file
//! are each a module of one statement that asks for the value when it runs. So nothing of a script
//! runs while the engine puts modules together.

use std::collections::BTreeSet;
use std::sync::Arc;

use rquickjs::loader::{ImportAttributes, Loader, Resolver};
use rquickjs::module::Declared;
use rquickjs::promise::PromiseState;
use rquickjs::{
    CatchResultExt, CaughtError, Ctx, Error, Exception, Function, Module, Object, Result,
};

use super::resolve::Asked;
use super::sources::{self, Kind, Source};
use super::{Shared, dispatch, explain, names};

/// What the names of the built-in modules begin with, once they are resolved.
const BUILTIN: &str = "brigantine:module/";

/// The same of CommonJS files that are imported, and of JSON files.
const COMMONJS: &str = "brigantine:commonjs/";
const JSON: &str = "brigantine:json/";

/// The module that tells how far others have come; its name ends with what no script knows.
const MARK: &str = "brigantine:mark/";

/// Finds what an `import` names.
pub(super) struct Names(pub(super) Arc<Shared>);

/// Gives the text of what was found.
pub(super) struct Sources(pub(super) Arc<Shared>);

impl Resolver for Names {
    fn resolve<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        base: &str,
        name: &str,
        attributes: Option<ImportAttributes<'js>>,
    ) -> Result<String> {
        let shared = &*self.0;
        if name.strip_prefix(MARK) == Some(&shared.mark) || base.starts_with(BRIDGE) {
            return Ok(name.to_owned());
        }
        let found = find(shared, ctx, base, name, attributes).catch(ctx);
        let found = found.and_then(|found| {
            let broken = shared.state().graph.broken(&found).map(str::to_owned);
            match broken {
                None => Ok(found),
                Some(reason) => {
                    let error = Exception::throw_message(ctx, &reason);
                    Err(CaughtError::from_error(ctx, error))
                }
            }
        });
        match found {
            Ok(found) => {
                shared.state().graph.import(base, &found);
                Ok(found)
            }
            Err(error) => {
                shared.state().graph.fail(base, &reason(&error));
                Err(error.throw(ctx))
            }
        }
    }
}

/// What the module that is made for `require` of an ES module is called.
const BRIDGE: &str = "brigantine:bridge/";

fn find<'js>(
    shared: &Shared,
    ctx: &Ctx<'js>,
    base: &str,
    name: &str,
    attributes: Option<ImportAttributes<'js>>,
) -> Result<String> {
    let wanted = attributes.map_or(Ok(None), |attributes| attributes.get_type())?;
    if wanted.as_deref().is_some_and(|kind| kind != "json") {
        let text = format!("{name} cannot be imported with a type other than json");
        return Err(Exception::throw_type(ctx, &text));
    }
    // Throws what `require` throws where there is no such module.
    let builtin: Option<String> = dispatch(ctx, ("builtin", name))?;
    if let Some(builtin) = builtin {
        return Ok(format!("{BUILTIN}{builtin}"));
    }
    let path: String = dispatch(ctx, ("resolve", base, name, true))?;
    let kind = shared.kind(ctx, &path)?;
    if wanted.is_some() && kind != Kind::Json {
        return Err(Exception::throw_type(ctx, &format!("{path} is not JSON")));
    }
    Ok(match kind {
        Kind::Module => path,
        Kind::CommonJs => format!("{COMMONJS}{path}"),
        Kind::Json => format!("{JSON}{path}"),
    })
}

impl Loader for Sources {
    fn load<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        name: &str,
        _attributes: Option<ImportAttributes<'js>>,
    ) -> Result<Module<'js, Declared>> {
        let loaded = load_module(&self.0, ctx, name).catch(ctx);
        loaded.map_err(|error| {
            self.0.state().graph.fail(name, &reason(&error));
            error.throw(ctx)
        })
    }
}

fn load_module<'js>(
    shared: &Arc<Shared>,
    ctx: &Ctx<'js>,
    name: &str,
) -> Result<Module<'js, Declared>> {
    if name.starts_with(MARK) {
        let own = Arc::clone(shared);
        let mark = move |node: usize, done: bool| own.state().graph.mark(node, done);
        let text = "export const mark = import.meta.mark; delete import.meta.mark;";
        let module = Module::declare(ctx.clone(), name, text)?;
        module.meta()?.set("mark", Function::new(ctx.clone(), mark)?)?;
        return Ok(module);
    }
    shared.one_more_module(ctx)?;
    if let Some(builtin) = name.strip_prefix(BUILTIN) {
        let members: String = dispatch(ctx, ("members", builtin))?;
        let members: BTreeSet<String> = serde_json::from_str(&members).unwrap_or_default();
        return made(shared, ctx, name, &members, ("member", builtin.to_owned()));
    }
    if let Some(path) = name.strip_prefix(COMMONJS) {
        let text = shared.source(ctx, path)?.text;
        let mut all = BTreeSet::new();
        exported(shared, ctx, (path, text), &mut all);
        return made(shared, ctx, name, &all, ("load", path.to_owned()));
    }
    if let Some(path) = name.strip_prefix(JSON) {
        return made(shared, ctx, name, &BTreeSet::new(), ("load", path.to_owned()));
    }
    let text = shared.source(ctx, name)?.text;
    declare(shared, ctx, name, &text)
}

/// The names that a CommonJS file exports, with those of the files that it passes on.
fn exported(shared: &Shared, ctx: &Ctx<'_>, file: (&str, String), all: &mut BTreeSet<String>) {
    /// How many files are looked at, and how long a text that is.
    const FILES: usize = 200;
    const LONGEST: usize = 1 << 20;
    let (path, text) = file;
    let mut seen = BTreeSet::from([path.to_owned()]);
    let mut queue = vec![(path.to_owned(), text)];
    while let Some((path, text)) = queue.pop() {
        if shared.guard.stops() {
            return;
        }
        let found = if text.len() <= LONGEST { names::of(&text) } else { names::Names::default() };
        all.extend(found.own);
        for name in found.others {
            // What cannot be found is said when the file runs.
            let other = super::resolve::resolve(&shared.files, &path, &name, Asked::Require);
            let Ok(other) = other else { continue };
            if seen.len() >= FILES || !seen.insert(other.clone()) {
                continue;
            }
            if let Ok(source) = shared.source(ctx, &other).catch(ctx)
                && source.kind == Kind::CommonJs
            {
                queue.push((other, source.text));
            }
        }
    }
}

/// A module for something that is none: its value is asked for when it is evaluated.
fn made<'js>(
    shared: &Arc<Shared>,
    ctx: &Ctx<'js>,
    name: &str,
    members: &BTreeSet<String>,
    (action, argument): (&'static str, String),
) -> Result<Module<'js, Declared>> {
    let mut text =
        "const get = import.meta.get; const value = get(); export default value;\n".to_owned();
    for (index, member) in members.iter().enumerate() {
        text += &format!("const m{index} = value?.{member}; export {{ m{index} as {member} }};\n");
    }
    let mut state = shared.state();
    let node = state.graph.node(name);
    drop(state);
    let module = Module::declare(ctx.clone(), name, text)?;
    let own = Arc::clone(shared);
    let get = move |ctx: Ctx<'js>| -> Result<rquickjs::Value<'js>> {
        own.state().graph.mark(node, false);
        let value = dispatch(&ctx, (action, argument.as_str()));
        own.state().graph.mark(node, true);
        value
    };
    module.meta()?.set("get", Function::new(ctx.clone(), get)?)?;
    Ok(module)
}

/// Declares an ES module of the script's own. Where it begins and ends, it says so.
fn declare<'js>(
    shared: &Shared,
    ctx: &Ctx<'js>,
    name: &str,
    text: &str,
) -> Result<Module<'js, Declared>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.contains('\0') {
        return Err(Exception::throw_syntax(ctx, &format!("{name} is no text: it contains a NUL")));
    }
    // A line that is for a shell.
    let comment = if text.starts_with("#!") { "//" } else { "" };
    let node = shared.state().graph.node(name);
    let mark = &shared.mark;
    let head = format!("import {{ mark as m{mark} }} from \"{MARK}{mark}\";m{mark}({node},false);");
    dispatch::<()>(ctx, ("wrapped", name, head.len() + comment.len()))?;
    let text = format!("{head}{comment}{text}\n;m{mark}({node},true);");
    let module = Module::declare(ctx.clone(), name, text)?;
    let meta = module.meta()?;
    let path = format!("{}/{name}", shared.files.root());
    let folder = path.rsplit_once('/').map_or("/", |(folder, _)| folder);
    meta.set("dirname", folder)?;
    meta.set("filename", path.as_str())?;
    let url: String = dispatch(ctx, ("url", path.as_str()))?;
    meta.set("url", url)?;
    let base = name.to_owned();
    let resolve = move |ctx: Ctx<'js>, wanted: String| -> Result<String> {
        dispatch(&ctx, ("metaResolve", base.as_str(), wanted))
    };
    meta.set("resolve", Function::new(ctx.clone(), resolve)?)?;
    Ok(module)
}

/// Gives the namespace of an ES module to a `require`.
pub(super) fn require<'js>(shared: &Shared, ctx: &Ctx<'js>, path: &str) -> Result<Object<'js>> {
    let cycle = shared.state().graph.cycle(path).map(str::to_owned);
    if let Some(cycle) = cycle {
        let text = format!(
            "require() of the ES module {path}: {cycle} is being loaded already, import it instead"
        );
        return Err(coded(ctx, "ERR_REQUIRE_CYCLE_MODULE", &text));
    }
    let broken = shared.state().graph.broken(path).map(str::to_owned);
    if let Some(reason) = broken {
        return Err(Exception::throw_message(ctx, &reason));
    }
    let text = format!(
        "import * as namespace from {}; export {{ namespace }};",
        serde_json::Value::from(path)
    );
    let module = Module::declare(ctx.clone(), format!("{BRIDGE}{path}"), text)?;
    let (module, promise) = module.eval()?;
    let state = promise.state();
    if state != PromiseState::Pending {
        shared.state().graph.ended(path);
    }
    match state {
        PromiseState::Resolved => module.get("namespace"),
        PromiseState::Rejected => {
            // It is told here, and to nobody else.
            dispatch::<()>(ctx, ("handled", promise.clone()))?;
            Err(promise.result::<()>().and_then(std::result::Result::err).unwrap_or(Error::Unknown))
        }
        PromiseState::Pending => {
            dispatch::<()>(ctx, ("handled", promise))?;
            let text = format!(
                "require() of the ES module {path}, which awaits something at its top: import it instead"
            );
            Err(coded(ctx, "ERR_REQUIRE_ASYNC_MODULE", &text))
        }
    }
}

fn coded(ctx: &Ctx<'_>, code: &'static str, text: &str) -> Error {
    super::files::FileError::new(code, text.to_owned()).throw(ctx)
}

/// Evaluates the script; answers with what it threw.
pub(super) fn load(shared: &Shared, ctx: &Ctx<'_>, name: &str, text: &str) -> Option<String> {
    let loaded = sources::script(shared, ctx, name, text).and_then(|Source { kind, text }| {
        if kind != Kind::Module {
            return dispatch::<()>(ctx, ("main", name, text));
        }
        shared.one_more_module(ctx)?;
        let (_module, promise) = declare(shared, ctx, name, &text)?.eval()?;
        dispatch(ctx, ("loading", promise))
    });
    loaded.catch(ctx).err().map(|error| explain(ctx, error))
}

/// The message of an error, for those who meet it again.
fn reason(error: &CaughtError<'_>) -> String {
    match error {
        CaughtError::Exception(exception) => exception.message().unwrap_or_default(),
        CaughtError::Value(_) | CaughtError::Error(_) => error.to_string(),
    }
}
