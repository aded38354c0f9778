//! Test vectors of the official clients: the ciphertexts that they produce, and the data that they reject.

use filestore_core::{Effect, Error, ErrorKind, hex};
use proptest::prelude::*;

use super::*;

const KEY_A: &str = "vector-key-1";
const KEY_B: &str = "clé-ключ-鍵";

/// 00 01 02 ... 0f.
const IV: [u8; BLOCK] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// Key, size of the content, and the blocks after the initialization vector: legacy, then ACRH.
const FILES: &[(&str, usize, &str, &str)] = &[
    (KEY_A, 0, "f6059495f1d2811a8b33fd2edca662df", "8508eaaa9208c4e388ef560ca71587dd"),
    (KEY_A, 1, "b164d22b56a4151606fe7930db5c7c3d", "0be108b2ca1005b3fb7fd0ccd75f6651"),
    (KEY_A, 15, "d2d46d83bb0e314eed5d37943846be92", "a9232f8751dbe9ee4570b8e387bc14f6"),
    (
        KEY_A,
        16,
        "670fbcaaff5e6b17017ccd4b1ee4f39dfe48243bb9ef487c58fe8db38cf61dbe",
        "e054ace4530a09583880370ccedc637b113d20811bcb567f5797280e6cd7a31e",
    ),
    (
        KEY_A,
        17,
        "670fbcaaff5e6b17017ccd4b1ee4f39da6d6575f99a99e00f91f3d438ad70cc4",
        "e054ace4530a09583880370ccedc637b3a0c95e2a03653200892c76ca540eb8d",
    ),
    (KEY_B, 0, "1679ea2218d10d88059f4ec1d1ae29a5", "a187cdbcd8bcef7d856113dcb97741af"),
    (KEY_B, 1, "d0e0a0c0ddc84ab11aa2a0a8fc411800", "ca825403a10ea2d37bebef3d154e6c02"),
    (KEY_B, 15, "7efa78b9ae94772df2fb74e2ce8d7942", "159e06eea3cb3cdb179409ede0a348b0"),
    (
        KEY_B,
        16,
        "26edcdf0b4c759ced471ccd80b4741f0fd83467e5883c2a8904d8ff7e34e344c",
        "1406501589f79ab91d070ce99e356a135c3a3462988dc1a9fe6ad74f05a8685d",
    ),
    (
        KEY_B,
        17,
        "26edcdf0b4c759ced471ccd80b4741f05be03539bc5ceb82abfcdf592a102092",
        "1406501589f79ab91d070ce99e356a13abab8877cf917c83aecd6299ff7f1a11",
    ),
];

/// Size of the content, and the ciphertext of a message with the fixed initialization vector and key A.
const STATIC: &[(usize, &str)] = &[
    (1, "d12ae48233cd7facc4beb709cca4cbfa"),
    (15, "c38ddefd133a2279ec5b0ca7d7926fda"),
    (16, "e394da1a42c511d4846cab6dd492a84731dddb3673ecd5fc446cbbad7a0d7d8b"),
    (17, "e394da1a42c511d4846cab6dd492a8470b72c20f2c3a164e52c5c773399783be"),
];

/// Key, scheme, and the size and SHA-256 of the ciphertext of 1,000 bytes.
const THOUSAND: &[(&str, Crypto, usize, &str)] = &[
    (KEY_A, Crypto::Legacy, 1024, "d3ac6fdd53de7bfd608ea4e37e0be6b8f7c67d2944766109dea22d8d3587c50d"),
    (KEY_A, Crypto::Acrh, 1034, "bc38b51c83090d1f83b6a6936ce66ac9bef7dcc4cc2aaf08c676d346d45bc62d"),
    (KEY_B, Crypto::Legacy, 1024, "3723606a7f1f685715112d959664b45b4e4992f52d6c16f87664bade2689f9cb"),
    (KEY_B, Crypto::Acrh, 1034, "88ffa6c267aa143a47dc03815952f920f7a43f77abb70740c48931690b3f5f5c"),
];

const MESSAGE: &str =
    r#"{"message": {"text": "hi"}, "file": {"id": "d9515cb7-48a7-41a4-9284-f4bf331bc770", "name": "cat.jpg"}}"#;

/// Scheme, and the ciphertext of the message with key A.
const MESSAGES: &[(Crypto, &str)] = &[
    (
        Crypto::Legacy,
        "AAECAwQFBgcICQoLDA0ODy/mG/Biosv71zKAsFBzIbbMqv13rp7W8jiLlJxXYKqVYjm7CIpXVkKFuUJKMhcWKR24sMUAF2IDnvr9SBfQiv1tyhi/jwixG7W9P/KgL0QGKU2HviJG4sZ38UcGJe7Lynj/VU+PO9PyE6R/IovbdGQ=",
    ),
    (
        Crypto::LegacyStaticIv,
        "N506N6LigPMdqFJwkxegEUY5WC+Tz4SsV3IuUb+8fAZyDm4vg8lkcJ/3bxCNM/CU0iZpXIuG97g6sHT3J18ZMrn3KJdM8K2cLWEM0qnvyV8sCnH8eh+abYACPIU1IXcI0Gr1J0FCzKyziSIsgolalA==",
    ),
    (
        Crypto::Acrh,
        "UE5FRAFBQ1JIEAABAgMEBQYHCAkKCwwNDg+xIATsXQnQQdEgpL+txyg71163RqPnusqPG38dm+vhPQURgUzc7R212awkCXnRcACUupL5co/qqMM9KKqyP9TfjZ4VyxF++hRdlcxdKPtc/Y6UpAFev3kzMSZ2jjTAGeUD7/ExNzjCKZ4JtG+VBON0",
    ),
];

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|at| (7 * at + 3) as u8).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// A stream of the content in chunks of at most `chunk_size` bytes.
fn stream_of(content: &[u8], chunk_size: usize, length: Option<u64>) -> ByteStream {
    let chunks: Vec<_> = content.chunks(chunk_size.max(1)).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    ByteStream::upload(stream::iter(chunks), length)
}

fn run<T>(future: impl Future<Output = T>) -> T {
    futures::executor::block_on(future)
}

fn encrypt(cipher: &Cipher, content: &[u8], chunk_size: usize) -> Vec<u8> {
    let stream = cipher.encrypt_with_iv(stream_of(content, chunk_size, Some(content.len() as u64)), IV);
    let length = stream.length();
    let stored = run(stream.collect(1 << 24)).unwrap();
    assert_eq!(length, Some(stored.len() as u64));
    stored.to_vec()
}

fn decrypt(cipher: &Cipher, stored: &[u8], chunk_size: usize) -> Result<Vec<u8>> {
    run(cipher.decrypt(stream_of(stored, chunk_size, None)).collect(1 << 24)).map(|content| content.to_vec())
}

#[test]
fn encrypted_files_of_both_schemes_equal_those_of_the_official_clients() {
    assert_eq!(FILES.len(), 10);
    for (key, size, legacy, acrh) in FILES {
        for (crypto, prefix, rest) in [
            (Crypto::Legacy, hex(&IV), legacy),
            (Crypto::LegacyStaticIv, hex(&IV), legacy),
            (Crypto::Acrh, format!("504e4544014143524810{}", hex(&IV)), acrh),
        ] {
            let cipher = Cipher::new(crypto, key).unwrap();
            let stored = encrypt(&cipher, &content(*size), 1000);
            assert_eq!(hex(&stored), format!("{prefix}{rest}"), "{key} {crypto:?} {size}");
            assert_eq!(cipher.stored_size(*size as u64), stored.len() as u64);
        }
    }
}

#[test]
fn a_thousand_encrypted_bytes_equal_those_of_the_official_clients() {
    assert_eq!(hex(&Sha256::digest(content(1000))), "1e9bc38cbf860b9ec31918b065f9b52476c549a782e0e7990bed8ce3868d2371");
    for (key, crypto, size, sha256) in THOUSAND {
        let stored = encrypt(&Cipher::new(*crypto, key).unwrap(), &content(1000), 7);
        assert_eq!((stored.len(), hex(&Sha256::digest(&stored))), (*size, (*sha256).to_owned()), "{key} {crypto:?}");
    }
}

#[test]
fn a_cipher_of_any_scheme_decrypts_files_of_both() {
    for (key, size, legacy, acrh) in FILES {
        let stored = [format!("{}{legacy}", hex(&IV)), format!("504e4544014143524810{}{acrh}", hex(&IV))];
        for (crypto, stored) in [Crypto::Acrh, Crypto::Legacy, Crypto::LegacyStaticIv]
            .iter()
            .flat_map(|crypto| stored.iter().map(move |stored| (*crypto, stored)))
        {
            assert_eq!(decrypt(&Cipher::new(crypto, key).unwrap(), &unhex(stored), 1000).unwrap(), content(*size));
        }
    }
}

#[test]
fn a_header_may_write_the_length_of_the_vector_in_three_bytes() {
    let (_, size, _, acrh) = FILES[3];
    let stored = unhex(&format!("504e45440141435248ff0010{}{acrh}", hex(&IV)));
    for chunk_size in [1, 1000] {
        assert_eq!(decrypt(&Cipher::new(Crypto::Acrh, KEY_A).unwrap(), &stored, chunk_size).unwrap(), content(size));
    }
}

#[test]
fn encrypted_messages_equal_those_of_the_official_clients() {
    for (crypto, ciphertext) in MESSAGES {
        let cipher = Cipher::new(*crypto, KEY_A).unwrap();
        assert_eq!(STANDARD.encode(cipher.message_ciphertext(MESSAGE, IV)), *ciphertext, "{crypto:?}");
        assert_eq!(cipher.decrypt_message(ciphertext).unwrap(), MESSAGE, "{crypto:?}");
    }
}

#[test]
fn messages_with_the_fixed_vector_equal_those_of_the_official_clients() {
    let cipher = Cipher::new(Crypto::LegacyStaticIv, KEY_A).unwrap();
    for (size, ciphertext) in STATIC {
        let mut encryptor = Encryptor::without_prefix(cipher.keys.legacy.expose_secret(), STATIC_IV);
        let stored = [encryptor.update(&content(*size)), encryptor.finish()].concat();
        assert_eq!(hex(&stored), *ciphertext);
    }
    let mut encryptor = Encryptor::without_prefix(cipher.keys.legacy.expose_secret(), STATIC_IV);
    let stored = [encryptor.update(&content(1000)), encryptor.finish()].concat();
    assert_eq!(hex(&Sha256::digest(&stored)), "91198da477ff2271f3a8fd2fd3c9b23598a115a8eae293bea23c7d9e27bb3130");
}

#[test]
fn messages_with_their_own_vector_are_decrypted_by_both_schemes() {
    for ciphertext in [MESSAGES[0].1, MESSAGES[2].1] {
        for crypto in [Crypto::Acrh, Crypto::Legacy] {
            assert_eq!(Cipher::new(crypto, KEY_A).unwrap().decrypt_message(ciphertext).unwrap(), MESSAGE);
        }
    }
    assert_eq!(Cipher::new(Crypto::LegacyStaticIv, KEY_A).unwrap().decrypt_message(MESSAGES[2].1).unwrap(), MESSAGE);
}

#[test]
fn each_encryption_uses_a_new_initialization_vector() {
    for crypto in [Crypto::Acrh, Crypto::Legacy] {
        let cipher = Cipher::new(crypto, KEY_A).unwrap();
        assert_ne!(cipher.encrypt_message(MESSAGE), cipher.encrypt_message(MESSAGE));
    }
    let fixed = Cipher::new(Crypto::LegacyStaticIv, KEY_A).unwrap();
    assert_eq!(fixed.encrypt_message(MESSAGE), MESSAGES[1].1);
}

#[test]
fn data_that_the_official_clients_reject_is_rejected() {
    let p = format!("504e4544014143524810{}", hex(&IV));
    let zeros = |bytes: usize| "00".repeat(bytes);
    let table = [
        (String::new(), ErrorKind::Integrity),
        (hex(&IV), ErrorKind::Integrity),
        ("504e4544".to_owned(), ErrorKind::Integrity),
        ("504e454401".to_owned(), ErrorKind::Integrity),
        ("504e4544014143".to_owned(), ErrorKind::Integrity),
        ("504e45440141435248".to_owned(), ErrorKind::Integrity),
        (p.clone(), ErrorKind::Integrity),
        (format!("504e454402{}{}", &p[10..], zeros(16)), ErrorKind::Unsupported),
        (format!("504e454400{}{}", &p[10..], zeros(16)), ErrorKind::Unsupported),
        (format!("504e4544015858585810{}{}", hex(&IV), zeros(16)), ErrorKind::Unsupported),
        (format!("504e4544010000000010{}{}", hex(&IV), zeros(16)), ErrorKind::Unsupported),
        (format!("{p}{}", zeros(16)), ErrorKind::Integrity),
        (format!("{p}{}", zeros(15)), ErrorKind::Integrity),
        ("504e45".to_owned(), ErrorKind::Integrity),
        ("504e45440141435248ff".to_owned(), ErrorKind::Integrity),
        (format!("504e4544014143524808{}{}", hex(&IV[..8]), zeros(16)), ErrorKind::Integrity),
    ];
    for (stored, kind) in table {
        for crypto in [Crypto::Acrh, Crypto::Legacy] {
            for chunk_size in [1, 1000] {
                let cipher = Cipher::new(crypto, KEY_A).unwrap();
                let error = decrypt(&cipher, &unhex(&stored), chunk_size).unwrap_err();
                assert_eq!((error.kind(), error.effect()), (kind, Effect::Rejected), "{stored} {error}");
                let message = cipher.decrypt_message(&STANDARD.encode(unhex(&stored))).unwrap_err();
                assert_eq!(message.kind(), kind, "{stored} {message}");
            }
        }
    }
}

#[test]
fn a_wrong_key_and_missing_bytes_are_detected() {
    let stored = encrypt(&Cipher::new(Crypto::Acrh, KEY_A).unwrap(), &content(1000), 1000);
    for (cipher, stored) in [
        (Cipher::new(Crypto::Acrh, KEY_B).unwrap(), &stored[..]),
        (Cipher::new(Crypto::Acrh, KEY_A).unwrap(), &stored[..stored.len() - 16]),
        (Cipher::new(Crypto::Acrh, KEY_A).unwrap(), &stored[..stored.len() - 1]),
    ] {
        let error = decrypt(&cipher, stored, 100).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Integrity);
        assert!(error.to_string().contains("check the cipher key"), "{error}");
    }
    assert!(Cipher::new(Crypto::Acrh, KEY_A).unwrap().decrypt_message("no base64!").is_err());
}

#[test]
fn stored_size_and_content_size_are_inverse() {
    let [acrh, legacy] = [Crypto::Acrh, Crypto::Legacy].map(|crypto| Cipher::new(crypto, KEY_A).unwrap());
    assert_eq!((acrh.content_size(5_242_880), legacy.content_size(5_242_880)), (Some(5_242_847), Some(5_242_863)));
    assert_eq!((acrh.stored_size(5_242_847), legacy.stored_size(5_242_863)), (5_242_874, 5_242_880));
    assert_eq!((acrh.content_size(41), acrh.content_size(42), acrh.content_size(0)), (None, Some(15), None));
}

#[test]
fn debug_hides_the_key() {
    let cipher = Cipher::new(Crypto::Legacy, KEY_A).unwrap();
    assert_eq!(format!("{cipher:?}"), "Cipher(Legacy)");
}

#[test]
fn a_file_of_many_chunks_is_decrypted_to_its_content() {
    let content = content(300_001);
    for crypto in [Crypto::Acrh, Crypto::Legacy] {
        let cipher = Cipher::new(crypto, KEY_A).unwrap();
        let stored = encrypt(&cipher, &content, 300_001);
        assert_eq!(decrypt(&cipher, &stored, 100_000).unwrap(), content);
    }
}

#[test]
fn the_error_of_a_failing_source_ends_the_encryption() {
    let broken = stream::iter([Ok(Bytes::from_static(b"abc")), Err(Error::invalid("the source is gone"))]);
    let stream = Cipher::new(Crypto::Acrh, KEY_A).unwrap().encrypt(ByteStream::upload(broken, None));
    assert_eq!(run(stream.collect(1000)).unwrap_err().to_string(), "the source is gone");
}

proptest! {
    #[test]
    fn the_chunk_sizes_do_not_change_the_result(
        content in prop::collection::vec(any::<u8>(), 0..700),
        sizes in prop::collection::vec(1_usize..100, 1..40),
        legacy: bool,
        key in ".{0,20}[a-z]",
    ) {
        let cipher = Cipher::new(if legacy { Crypto::Legacy } else { Crypto::Acrh }, &key).unwrap();
        let whole = encrypt(&cipher, &content, content.len());
        let split = |bytes: &[u8]| {
            let (mut at, mut sizes) = (0, sizes.iter().cycle());
            let mut chunks = Vec::new();
            while at < bytes.len() {
                let end = bytes.len().min(at + sizes.next().unwrap());
                chunks.push(Ok(Bytes::copy_from_slice(&bytes[at..end])));
                at = end;
            }
            ByteStream::upload(stream::iter(chunks), None)
        };
        let in_chunks = run(cipher.encrypt_with_iv(split(&content), IV).collect(1 << 20)).unwrap();
        prop_assert_eq!(&in_chunks[..], &whole[..]);
        let decrypted = run(cipher.decrypt(split(&whole)).collect(1 << 20)).unwrap();
        prop_assert_eq!(&decrypted[..], &content[..]);
    }

    #[test]
    fn any_message_is_decrypted_to_itself(text in any::<String>(), which in 0..3_usize) {
        let crypto = [Crypto::Acrh, Crypto::Legacy, Crypto::LegacyStaticIv][which];
        let cipher = Cipher::new(crypto, "k").unwrap();
        prop_assert_eq!(cipher.decrypt_message(&cipher.encrypt_message(&text)).unwrap(), text);
    }

    #[test]
    fn random_bytes_are_an_error_or_content_but_never_a_panic(
        stored in prop::collection::vec(any::<u8>(), 0..100),
        magic: bool,
        chunk_size in 1_usize..40,
    ) {
        let mut stored = stored;
        if magic {
            stored.splice(0..0, *b"PNED\x01ACRH");
        }
        let _ = decrypt(&Cipher::new(Crypto::Acrh, KEY_A).unwrap(), &stored, chunk_size);
    }
}
