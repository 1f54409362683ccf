"""The only request headers that nginx passes on to the worker.

nginx sends the client's content type and encoding under names of ours, and the body as a plain
stream. Otherwise the model server would parse forms, JSON and text itself.
"""

ACCEPT = "Accept"
CONTENT_TYPE = "Kennel-Content-Type"
CONTENT_ENCODING = "Kennel-Content-Encoding"
REQUEST_ID = "X-Request-Id"
# In multi-model mode: method and path, such as `DELETE /models/dogs`.
CALL = "Kennel-Call"
QUERY = "Kennel-Query"
ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
# What nginx passes on for a query or attributes that the model server could not take.
UNREADABLE = "unreadable="
# Set by the lane (serve/lane), never by nginx: the file with the pixels of the request.
PIXELS = "Kennel-Pixels"
# What a worker answers for pictures that it leaves to the lane; nginx sends them there.
COSTLY = 418
