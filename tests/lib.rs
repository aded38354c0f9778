//! The Rust blocks of the documents: each is compiled, and run unless its fence says otherwise. The tests that
//! span several crates are in `all/`.

#[cfg(doctest)]
mod documents {
    macro_rules! document {
        ($($name:ident $path:literal)*) => {$(
            #[doc = include_str!($path)]
            struct $name;
        )*};
    }

    document! {
        Readme "../README.md"
        Applications "../docs/applications.md"
        Architecture "../docs/architecture.md"
        Capabilities "../docs/capabilities.md"
        Comparison "../docs/comparison.md"
        Configuration "../docs/configuration.md"
        Conformance "../docs/conformance.md"
        Emulator "../docs/emulator.md"
        ErrorsAndRetries "../docs/errors-and-retries.md"
        FileIo "../docs/backends/fileio.md"
        FilesCom "../docs/backends/filescom.md"
        Local "../docs/backends/local.md"
        OpenDal "../docs/backends/opendal.md"
        PubNub "../docs/backends/pubnub.md"
        Performance "../docs/performance.md"
        Reliability "../docs/reliability.md"
        Security "../docs/security.md"
        Transfers "../docs/transfers.md"
        WritingABackend "../docs/writing-a-backend.md"
    }
}
