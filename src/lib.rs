//! alm
