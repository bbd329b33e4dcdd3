//! pgcatalog
