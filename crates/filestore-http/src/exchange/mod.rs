//! One exchange with a service: the body on its way out, the response on its way in, and the limits of both.
//!
//! 1. [`body_progress`] follows the body of the request to the connection.
//! 2. [`timeout`] ends an exchange in which nothing moves, or that takes too long in all.
//! 3. [`response_body`] reads the response, within the same limits.

pub(crate) mod body_progress;
pub(crate) mod response_body;
pub(crate) mod timeout;
