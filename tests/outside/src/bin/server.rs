//! The services that the other programs here use: the emulator, and an S3 server with one file. The program prints one
//! URL per line, and runs until it is killed.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use filestore_emulator::{Emulator, Options};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let emulator = Emulator::start(Options::default()).await?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", emulator.url());
    println!("http://{}", listener.local_addr()?);
    std::thread::spawn(move || {
        let mut file = Vec::new();
        for stream in listener.incoming() {
            if let Err(error) = stream.and_then(|stream| respond(stream, &mut file)) {
                eprintln!("S3: {error}");
            }
        }
    });
    std::future::pending().await
}

/// Serves one S3 request: PUT stores the body, GET returns it, HEAD returns its length.
fn respond(mut stream: TcpStream, file: &mut Vec<u8>) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut method = String::new();
    reader.read_line(&mut method)?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.to_ascii_lowercase().split_once(':') {
            Some(("content-length", value)) => length = value.trim().parse().map_err(io::Error::other)?,
            Some(_) => {}
            None => break,
        }
    }
    let body: &[u8] = match method.split(' ').next() {
        Some("PUT") => {
            file.clear();
            reader.take(length).read_to_end(file)?;
            b""
        }
        _ => file,
    };
    let content_length = body.len();
    let modified = "Last-Modified: Fri, 27 Nov 2026 10:00:00 GMT\r\nETag: \"1\"\r\nConnection: close\r\n";
    write!(stream, "HTTP/1.1 200 OK\r\n{modified}Content-Length: {content_length}\r\n\r\n")?;
    if !method.starts_with("HEAD") {
        stream.write_all(body)?;
    }
    Ok(())
}
