"""The request headers that nginx passes on to the worker, and no others.

nginx sends the client's content type under a name of ours and the body as a plain stream, so that
the model server parses no forms, JSON or text on its own.
"""

ACCEPT = "Accept"
CONTENT_TYPE = "Kennel-Content-Type"
REQUEST_ID = "X-Request-Id"
# In multi-model mode: method and path, such as `DELETE /models/dogs`.
CALL = "Kennel-Call"
QUERY = "Kennel-Query"
ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
