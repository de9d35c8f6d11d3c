//! JSON as Java's libraries write it, which is not always JSON: headers are scanned and written directly, and bodies
//! are brought into standard form by [`normalize`].

mod escape;
mod normalize;
mod scan;

pub(crate) use escape::{MAX_ESCAPED, escape, write_escaped};
pub use normalize::normalize;
pub(crate) use scan::Scanner;
