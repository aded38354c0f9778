//! One async interface over hosted file services: traits, references, bodies, errors
