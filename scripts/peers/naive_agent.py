"""What one writes in an afternoon with the same five packages; a yardstick for scripts/bench, not part of the agent."""

import json
import logging
import sys
import time

import netifaces
import paho.mqtt.client as mqtt
import psutil
import requests
import tomli

logging.basicConfig(level=logging.INFO)
port, ca, cert, key, interval = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4], float(sys.argv[5])
settings = tomli.loads(f"interval = {interval}")
session = requests.Session()
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="naive")
client.tls_set(ca, cert, key)
client.connect("localhost", port, 30)
client.loop_start()
while True:
    sample = {
        "at": time.time(),
        "cpu": psutil.cpu_percent(),
        "memory": psutil.virtual_memory()._asdict(),
        "disk": psutil.disk_usage("/")._asdict(),
        "load": psutil.getloadavg(),
        "net": {name: counters._asdict() for name, counters in psutil.net_io_counters(pernic=True).items()},
        "gateways": str(netifaces.gateways().get("default")),
    }
    client.publish("peers/naive/report", json.dumps(sample), qos=1)
    time.sleep(settings["interval"])
