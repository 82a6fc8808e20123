//! How much a rule could do at most.

use cel::common::ast::{EntryExpr, Expr, IdedExpr};
use serde_json::Value;

/// Functions whose answer is as long as the text they are given.
const SPLITTING: &[&str] = &["split", "findAll", "matches", "find", "replace", "format"];

/// The size of the largest list, map or text in a value.
pub(crate) fn longest(value: &Value) -> Longest {
    let mut longest = Longest::default();
    add(value, &mut longest);
    longest
}

/// The largest list or map, and the largest text.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Longest {
    items: u64,
    text: u64,
}

impl Longest {
    pub(crate) fn max(self, other: Longest) -> Longest {
        Longest { items: self.items.max(other.items), text: self.text.max(other.text) }
    }
}

fn add(value: &Value, longest: &mut Longest) {
    match value {
        Value::Object(map) => {
            longest.items = longest.items.max(map.len() as u64);
            map.values().for_each(|one| add(one, longest));
        }
        Value::Array(items) => {
            longest.items = longest.items.max(items.len() as u64);
            items.iter().for_each(|one| add(one, longest));
        }
        Value::String(text) => longest.text = longest.text.max(text.len() as u64),
        _ => {}
    }
}

/// The most steps that an expression can take; a loop goes over the largest list there is.
pub(crate) fn weight(expression: &IdedExpr, longest: Longest) -> u64 {
    let below = |one: &IdedExpr| weight(one, longest);
    let all =
        |list: &[IdedExpr]| list.iter().fold(0_u64, |sum, one| sum.saturating_add(below(one)));
    match &expression.expr {
        Expr::Call(call) => {
            let target = call.target.as_deref().map_or(0, below);
            let own = match call.func_name.as_str() {
                name if SPLITTING.contains(&name) => 1 + longest.text / 16,
                // Lists and texts may be compared or joined.
                "_==_" | "_!=_" | "_+_" | "@in" | "_in_" => 1 + longest.items / 64,
                _ => 1,
            };
            all(&call.args).saturating_add(target).saturating_add(own)
        }
        Expr::Comprehension(one) => {
            let rounds = rounds(&one.iter_range, longest);
            let round =
                below(&one.loop_cond).saturating_add(below(&one.loop_step)).saturating_add(2);
            below(&one.iter_range)
                .saturating_add(below(&one.accu_init))
                .saturating_add(below(&one.result))
                .saturating_add(rounds.saturating_mul(round))
        }
        Expr::List(list) => all(&list.elements).saturating_add(1),
        Expr::Select(select) => below(&select.operand).saturating_add(1),
        Expr::Map(map) => entries(&map.entries, longest),
        Expr::Struct(structure) => entries(&structure.entries, longest),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => 1,
    }
}

fn entries(entries: &[cel::common::ast::IdedEntryExpr], longest: Longest) -> u64 {
    entries.iter().fold(1, |sum, entry| {
        let own = match &entry.expr {
            EntryExpr::StructField(field) => weight(&field.value, longest),
            EntryExpr::MapEntry(entry) => {
                weight(&entry.key, longest).saturating_add(weight(&entry.value, longest))
            }
        };
        sum.saturating_add(own)
    })
}

/// How often a loop over a value can run.
fn rounds(range: &IdedExpr, longest: Longest) -> u64 {
    match &range.expr {
        Expr::List(list) => list.elements.len() as u64,
        Expr::Map(map) => map.entries.len() as u64,
        Expr::Ident(_) | Expr::Select(_) => longest.items,
        Expr::Comprehension(inner) => rounds(&inner.iter_range, longest),
        Expr::Call(call) if SPLITTING.contains(&call.func_name.as_str()) => longest.text + 1,
        // Lists may be joined, chosen, or made by functions.
        Expr::Call(call) => {
            let target = call.target.iter().map(|one| rounds(one, longest));
            call.args
                .iter()
                .map(|one| rounds(one, longest))
                .chain(target)
                .fold(longest.items, u64::saturating_add)
        }
        _ => longest.items,
    }
}
