//! Any OpenDAL operator as a FileStore: local directories, memory, S3 and the rest
