//! What every HTTP backend of filestore needs: client, retry, limits, redaction
