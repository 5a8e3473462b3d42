//! What events can be asked about.

use super::Kind;
use crate::model::event;

macro_rules! fields {
    ($(#[$meta:meta])* $type:ident { $($(#[$about:meta])* $variant:ident = $name:literal: $kind:expr,)+ }
        $({ $(#[$inner_about:meta])* $inner:ident in $prefix:literal: $inner_kind:expr })?) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum $type {
            $($(#[$about])* $variant,)+
            $($(#[$inner_about])* $inner(Box<str>),)?
        }

        impl $crate::model::filter::Field for $type {
            const NAMES: &'static [&'static str] = &[$($name,)+ $(concat!($prefix, "NAME"),)?];

            fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => return Some(Self::$variant),)+
                    _ => {}
                }
                $(
                    let inner = name.strip_prefix($prefix).filter(|name| $crate::model::filter::events::is_name(name));
                    if let Some(inner) = inner {
                        return Some(Self::$inner(inner.into()));
                    }
                )?
                None
            }

            fn name(&self) -> std::borrow::Cow<'_, str> {
                match self {
                    $(Self::$variant => $name.into(),)+
                    $(Self::$inner(name) => format!(concat!($prefix, "{}"), name).into(),)?
                }
            }

            fn kind(&self) -> $crate::model::filter::Kind {
                match self {
                    $(Self::$variant => $kind,)+
                    $(Self::$inner(_) => $inner_kind,)?
                }
            }
        }
    };
}

pub(super) use fields;

/// Whether this is a name such as a fact of an event has.
pub(super) fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fields! {
    /// A field of an event.
    EventField {
        /// Its number in the log.
        Seq = "seq": Kind::Number,
        /// `evt_…`.
        Id = "id": Kind::Text,
        /// When it happened.
        Time = "time": Kind::Time,
        /// Its kind.
        Kind = "kind": Kind::Choice(&event::kind::ALL),
        /// How it ended.
        Outcome = "outcome": Kind::Choice(&["allowed", "denied", "failed"]),
        /// Who.
        Principal = "principal": Kind::Principal,
        /// Which client: the one who did it, or through which it was done.
        Client = "client": Kind::Text,
        /// From where.
        Address = "address": Kind::Network,
        /// What was done.
        Action = "action": Kind::Text,
        /// To what.
        Resource = "resource": Kind::Text,
        /// Why.
        Reason = "reason": Kind::Text,
        /// Which policies said so.
        Policies = "policies": Kind::Texts,
        /// Under which snapshot of them.
        Snapshot = "snapshot": Kind::Text,
        /// In which request.
        RequestId = "request_id": Kind::Text,
        /// In which trace.
        TraceId = "trace_id": Kind::Text,
        /// How long it took.
        LatencyUs = "latency_us": Kind::Number,
        /// How many like it it stands for.
        Count = "count": Kind::Number,
    }
    {
        /// A fact of its kind: `data.NAME`.
        Data in "data.": Kind::Json
    }
}
