//! From a schema to the table of types, by which fields are owned, merged and described.

use crate::schema::{Field, Kind, Struct, TYPES, Types};

use super::schema::Schema;

/// The types of a custom resource, and the place of the resource's own.
pub(crate) fn types(name: &str, schema: &Schema) -> (Types, usize) {
    let mut types = Types::default();
    let metadata = metadata(&mut types);
    let mut structure = structure(&mut types, name, schema);
    put(&mut structure, "metadata", Kind::Struct(metadata), |field| field.required = true);
    let root = types.add(structure);
    (types, root)
}

fn metadata(types: &mut Types) -> usize {
    let index = TYPES.find("meta.v1.ObjectMeta").unwrap_or_default();
    types.copy(&TYPES, index)
}

fn structure(types: &mut Types, name: &str, schema: &Schema) -> Struct {
    let mut structure = Struct {
        name: name.to_owned(),
        atomic: schema.atomic_map,
        open: schema.is_free(),
        ..Struct::default()
    };
    for (property, below) in &schema.properties {
        let kind = kind(types, &format!("{name}.{property}"), below);
        put(&mut structure, property, kind, |field| {
            match below.list_type.as_str() {
                "set" => field.set = true,
                "map" => field.list_keys = below.list_keys.clone(),
                _ => {}
            }
            field.atomic = below.atomic_map;
            field.pointer = true;
        });
    }
    if schema.embedded {
        let metadata = metadata(types);
        for name in ["apiVersion", "kind"] {
            put(&mut structure, name, Kind::String, |field| field.pointer = true);
        }
        put(&mut structure, "metadata", Kind::Struct(metadata), |_| {});
    }
    structure
}

fn put(structure: &mut Struct, name: &str, kind: Kind, flags: impl FnOnce(&mut Field)) {
    let mut field = Field::plain(kind);
    flags(&mut field);
    if structure.fields.insert(name.to_owned(), field).is_none() {
        structure.order.push(name.to_owned());
    }
}

fn kind(types: &mut Types, name: &str, schema: &Schema) -> Kind {
    match schema.kind.as_str() {
        _ if schema.int_or_string => Kind::IntOrString,
        "string" => Kind::String,
        "integer" => Kind::Int64,
        "number" => Kind::Double,
        "boolean" => Kind::Bool,
        "array" => {
            let item = schema.items.as_deref();
            let item =
                item.map_or(Kind::Deduced, |item| kind(types, &format!("{name}.item"), item));
            Kind::List(Box::new(item))
        }
        "object" => match &schema.additional {
            Some(item) if schema.properties.is_empty() => {
                Kind::Map(Box::new(kind(types, &format!("{name}.value"), item)))
            }
            _ if schema.properties.is_empty() && !schema.embedded && schema.is_free() => {
                Kind::Deduced
            }
            _ => {
                let structure = structure(types, name, schema);
                Kind::Struct(types.add(structure))
            }
        },
        _ => Kind::Deduced,
    }
}
