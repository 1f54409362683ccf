"""Event files: TFRecord, Protobuf and the messages in them."""
