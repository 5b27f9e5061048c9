"""Scans a server with sslyze and holds it against Mozilla's intermediate profile.

usage: tls_profile.py HOST PORT SERVER_NAME
Prints what the profile complains about: an object of words by subject.
"""

import json
import sys

from sslyze import Scanner, ServerNetworkConfiguration, ServerNetworkLocation, ServerScanRequest
from sslyze.mozilla_tls_profile import tls_config_checker as profile


def main() -> None:
    host, port, name = sys.argv[1:]
    location = ServerNetworkLocation(hostname=name, port=int(port), ip_address=host)
    settings = ServerNetworkConfiguration(tls_server_name_indication=name, network_timeout=20, network_max_retries=1)
    # Few at once: the machine runs other tests.
    scanner = Scanner(per_server_concurrent_connections_limit=2)
    wanted = profile.SCAN_COMMANDS_NEEDED_BY_MOZILLA_CHECKER
    scanner.queue_scans([ServerScanRequest(location, settings, scan_commands=wanted)])
    [result] = list(scanner.get_results())
    intermediate = profile.MozillaTlsConfiguration.get(profile.TlsConfigurationEnum.MOZILLA_INTERMEDIATE)
    try:
        profile.check_server_against_tls_configuration(result, intermediate)
        print(json.dumps({}))
    except profile.ServerNotCompliantWithTlsConfiguration as refused:
        print(json.dumps(refused.issues))


main()
