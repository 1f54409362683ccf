"""nginx.conf, with the names in braces left open: which requests pass, and with which headers."""

TEMPLATE = """
daemon off;
pid nginx.pid;
error_log stderr warn;
{user}
worker_processes 1;
worker_shutdown_timeout {drain_s}s;
worker_rlimit_nofile {open_files};
events {{ worker_connections {connections}; }}
http {{
  access_log off;
  server_tokens off;
  default_type application/json;
  client_max_body_size {max_body};
  client_body_buffer_size 1m;
  # A buffer holds one header line, and the model server takes two such lines (8 KiB).
  large_client_header_buffers 8 3k;
  keepalive_requests 100000;
  # Slow clients: for all headers together, and between two parts of a body or an answer. When
  # connections run short, nginx closes those that wait for a request.
  client_header_timeout {header_s}s;
  client_body_timeout {body_s}s;
  send_timeout {body_s}s;
  reset_timedout_connection on;
  recursive_error_pages on;  # from a worker to the lane, and from there to an error
{temporary}

  map $http_x_request_id $kennel_request_id {{
    "~^[A-Za-z0-9._-]{{1,64}}$" $http_x_request_id;
    default $request_id;
  }}
  # The model server takes 8 KiB of headers; a SageMaker attribute has at most 1024 characters.
  map $args $kennel_query {{ "" ""; "~^[!-~]{{0,500}}$" $args; default "{unreadable}"; }}
  map $http_x_amzn_sagemaker_custom_attributes $kennel_attributes {{
    "" "";
    "~^[ -~\t]{{1,1024}}$" $http_x_amzn_sagemaker_custom_attributes;
    default "{unreadable}";
  }}
  map $uri $kennel_methods {{
    "/invocations" "POST";
    "/models" "GET, POST";
    "~^/models/[^/]+$" "GET, DELETE";
    "~^/models/[^/]+/invoke$" "POST";
    default "GET, HEAD";
  }}
  map "$request_method $uri" $kennel_of_models {{
    "GET /models" 1;
    "POST /models" 1;
    "~^(GET|DELETE) /models/[^/]+$" 1;
    "~^POST /models/[^/]+/invoke$" 1;
    default "";
  }}
  # Requests whose headers are complete, in all; /ping is not among them.
  map "" $kennel_all {{ default all; }}
  limit_conn_zone $kennel_all zone=requests:32k;
  limit_conn_status 503;
  limit_conn_log_level warn;
{large}
  upstream model_server {{ server 127.0.0.1:{model_server_port}; keepalive 64; }}
  upstream health {{ server unix:{run_dir}/{health_socket}; }}
  upstream lane {{ server unix:{run_dir}/{lane}/{lane_socket}; }}

  proxy_http_version 1.1;
  # Only the headers that are set here reach the model server.
  proxy_pass_request_headers off;
  proxy_set_header Connection "";
  proxy_set_header {request_id} $kennel_request_id;
  proxy_hide_header {request_id};
  add_header {request_id} $kennel_request_id always;

  server {{
    listen {listen} backlog=1024;
{error_pages}

    location = /ping {{
      if ($request_method !~ ^(GET|HEAD)$) {{ return 405; }}
      proxy_pass http://health;
      proxy_pass_request_body off;
      proxy_set_header Connection "";
      proxy_set_header {request_id} $kennel_request_id;
      proxy_set_header Content-Length "";
      proxy_connect_timeout 1s;
      proxy_read_timeout 1s;
      error_page 502 504 = @silent;
{error_pages}
    }}
{invoke}
    location = /kennel-read {{ internal; return 204; }}
    location @invoke {{
      if ($kennel_large) {{ return {costly}; }}
      proxy_method POST;
      # The question mark drops the query; the handler would get it as further inputs.
      rewrite ^ /models/model/invoke? break;
      proxy_pass http://model_server;
{forwarded}
      # Replaces the model server's own errors; the handler's 4xx pass through.
      proxy_intercept_errors on;
{replaced}
      error_page {costly} = @costly;
    }}
    location @costly {{
      proxy_method POST;
      proxy_pass http://lane;
{forwarded}
      proxy_intercept_errors on;
{replaced}
    }}
    location = /execution-parameters {{
      if ($request_method !~ ^(GET|HEAD)$) {{ return 405; }}
      return 200 '{parameters}';
    }}
    location / {{ return 404; }}
{error_locations}
  }}
{metrics}}}
"""
# To the model server and to the lane.
FORWARDED = """
      proxy_set_header Connection "";
      proxy_set_header {request_id} $kennel_request_id;
      proxy_set_header {accept} $http_accept;
      proxy_set_header Content-Type application/octet-stream;
      proxy_set_header {content_type} $content_type;
      proxy_set_header {content_encoding} $http_content_encoding;
      proxy_set_header {call} $kennel_call;
      proxy_set_header {query} $kennel_options;
      proxy_set_header {attributes} $kennel_attributes;
      proxy_read_timeout {answer_within_s}s;
      # The model server resets its connection after a 4xx; a buffering nginx would run into that.
      proxy_buffering off;"""
REPLACED = """
      error_page {unavailable} = @503;
      error_page {failed} = @500;
      error_page 408 = @408;
      error_page 413 = @413;  # a chunked body, whose size is known only here
      error_page 504 = @504;"""


# The mirror reads the body, so that a bad chunk gets the error pages of this location; nothing is
# copied. Then nginx looks for a file, finds none, and goes on to the location that passes it on.
ACCEPTED = """
      limit_conn requests {requests};
      set $kennel_call "$request_method $uri";
      set $kennel_options $kennel_query;  # before a rewrite removes it
      # Only GET, HEAD and POST can look for a file.
      error_page 419 = @invoke;
      if ($request_method = DELETE) {{ return 419; }}
      mirror /kennel-read;
      root {run_dir}/none;
      log_not_found off;
      error_page 404 = @invoke;
{error_pages}
    }}
"""
INVOCATIONS = """
    location = /invocations {{
      if ($request_method != POST) {{ return 405; }}"""
MODELS = """
    location ~ "^/models(/[A-Za-z0-9._-]+(/invoke)?)?$" {{
      if ($kennel_of_models = "") {{ return 405; }}"""
