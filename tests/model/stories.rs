//! The built-in model against what the reference recorded of it.
