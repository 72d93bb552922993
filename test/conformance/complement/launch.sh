#!/bin/sh
# Starts one Neurite for Complement's process engine: SERVER_NAME, BIND_IP and DATA_DIR come from the engine,
# NEURITE_COMMAND (what starts the server) from whoever starts the engine's launch command.
set -eu
cd "$DATA_DIR"
ca="$DATA_DIR/complement/ca"
openssl req -new -newkey rsa:2048 -nodes -keyout tls.key -out tls.csr -subj "/CN=$SERVER_NAME" 2>/dev/null
printf 'subjectAltName=DNS:%s\n' "$SERVER_NAME" > tls.ext
openssl x509 -req -in tls.csr -CA "$ca/ca.crt" -CAkey "$ca/ca.key" -set_serial "$(date +%s%N)" -days 2 \
  -extfile tls.ext -out tls.crt 2>/dev/null
appservices=$(find "$DATA_DIR/complement/appservice" -name '*.yaml' 2>/dev/null | sed 's/.*/"&"/' | paste -sd, -)
cat > neurite.yaml <<YAML
server_name: "$SERVER_NAME"
data_dir: "$DATA_DIR/data"
listeners:
  - address: "$BIND_IP"
    port: 8008
    resources: [client, federation, admin]
  - address: "$BIND_IP"
    port: 8448
    tls: { cert: "$DATA_DIR/tls.crt", key: "$DATA_DIR/tls.key" }
    resources: [federation, client]
registration:
  mode: open
  guests: true
  shared_secret: complement
rate_limits: { enabled: false }
appservices: [$appservices]
rooms: { default_version: '10' }
passwords: { memory: 64 KiB, passes: 1 }
log: { level: debug }
previews:
  enabled: true
  allow_networks: [127.0.0.0/8, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, '::1']
push: { text_mentions: true }
sync: { initial_timeline: graph, forgotten_leaves: true }
media:
  freeze_unauthenticated: false
federation:
  allow_networks: [127.0.0.0/8, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, '::1']
  ca_file: "$ca/ca.crt"
YAML
exec $NEURITE_COMMAND run --config "$DATA_DIR/neurite.yaml"
