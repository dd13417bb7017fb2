//! Enums whose cases have stable names, written down once.

/// Defines such an enum: the name of each case is its `code`, in JSON, in addresses and in metrics. With a sentence for
/// each case, the enum has sentences for people too.
///
/// A code is a `tt`: utoipa does not read a `literal` that a macro has taken, and would document the case's own name.
macro_rules! named {
    ($(#[$about:meta])* $vis:vis enum $name:ident {
        $($(#[$case_about:meta])* $case:ident = $code:tt,)+
    }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, utoipa::ToSchema)]
        $vis enum $name { $($(#[$case_about])* #[schema(rename = $code)] $case,)+ }

        impl $name {
            /// Each of them, in their order.
            pub const ALL: [Self; [$($code),+].len()] = [$(Self::$case,)+];
            /// The stable name.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$case => $code,)+ }
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.pad(self.code())
            }
        }
        impl std::str::FromStr for $name {
            type Err = crate::domain::id::BadId;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let found = Self::ALL.iter().copied().find(|one| one.code() == text);
                found.ok_or(crate::domain::id::BadId(stringify!($name)))
            }
        }
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.code())
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
    ($(#[$about:meta])* $vis:vis enum $name:ident {
        $($case:ident = $code:tt: $sentence:tt,)+
    }) => {
        $crate::domain::named::named! {
            $(#[$about])* $vis enum $name { $(#[doc = $sentence] $case = $code,)+ }
        }
        impl $name {
            /// What it means, for people.
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$case => $sentence,)+ }
            }
        }
    };
}

pub(crate) use named;
