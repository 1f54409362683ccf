"""The only request headers that nginx passes on to the worker.

nginx sends the client's content type under a name of ours and the body as a plain stream. Otherwise
the model server would parse forms, JSON and text itself.
"""

ACCEPT = "Accept"
CONTENT_TYPE = "Kennel-Content-Type"
REQUEST_ID = "X-Request-Id"
# In multi-model mode: method and path, such as `DELETE /models/dogs`.
CALL = "Kennel-Call"
QUERY = "Kennel-Query"
ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
