//! One async interface over hosted file services, chosen by configuration
