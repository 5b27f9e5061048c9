"""Fills the domain of the lab and the tests, straight in the controller's database, before it is started.

usage: accounts.py SMB_CONF PASSWORD SIDS_FILE
Run it with the interpreter that has Samba's modules. One process: a samba-tool for each would take minutes.
"""

import json
import sys

import ldb
import samba.dsdb as dsdb
from samba.auth import system_session
from samba.dcerpc import security
from samba.ndr import ndr_unpack
from samba.param import LoadParm
from samba.samdb import SamDB

AES = "24"
RC4 = "4"
MANY_GROUPS = 1000

conf, password, sids_file = sys.argv[1:]
parameters = LoadParm()
parameters.load(conf)
database = SamDB(
    url=parameters.private_path("sam.ldb"), session_info=system_session(), lp=parameters
)
base = str(database.domain_dn())


def replace(dn, attribute, values):
    message = ldb.Message(dn)
    message[attribute] = ldb.MessageElement(values, ldb.FLAG_MOD_REPLACE, attribute)
    database.modify(message)


def find(name):
    found = database.search(base, expression=f"(sAMAccountName={name})", attrs=["objectSid"])
    return found[0]


def with_ciphers(name, ciphers):
    replace(find(name).dn, "msDS-SupportedEncryptionTypes", ciphers)


def service(name, ciphers, *spns):
    database.newuser(name, password)
    with_ciphers(name, ciphers)
    replace(find(name).dn, "servicePrincipalName", list(spns))


def group(name, kind, members):
    database.newgroup(name, grouptype=kind)
    database.add_remove_group_members(name, members, add_members_operation=True)


database.transaction_start()
database.set_maxPwdAge("0")
# dora is disabled; zoë has letters that are not in ASCII.
users = ("alice", "bob", "crowd", "dora", "svc-sharepoint", "zoë")
for user in users:
    database.newuser(user, password)
    with_ciphers(user, AES)
# RMS-OLD is an SPN of the connector's account that the keytab does not have.
service(
    "svc-rmsc", AES, "HTTP/rms.contoso.test", "HTTP/localhost", "HTTP/rms-old.contoso.test", "cifs/rms.contoso.test"
)
# Its password is changed by a test.
service("svc-keys", AES, "HTTP/127.0.0.1")
service("svc-other", AES, "HTTP/other.contoso.test")
service("svc-weak", RC4, "HTTP/weak.contoso.test")
database.disable_account("(sAMAccountName=dora)")
computers = ("EXCH01", "FS01")
for computer in computers:
    database.newcomputer(computer)
    account = f"{computer}$"
    with_ciphers(account, AES)
    database.setpassword(f"(sAMAccountName={account})", password, force_change_at_next_login=False)
group("Exchange Servers", dsdb.GTYPE_SECURITY_UNIVERSAL_GROUP, ["EXCH01$"])
group("RMS Servers", dsdb.GTYPE_SECURITY_DOMAIN_LOCAL_GROUP, ["Exchange Servers"])
group("RMS Everything", dsdb.GTYPE_SECURITY_DOMAIN_LOCAL_GROUP, ["RMS Servers"])
group("Finance Managers", dsdb.GTYPE_SECURITY_GLOBAL_GROUP, ["alice"])
group("Finance", dsdb.GTYPE_SECURITY_GLOBAL_GROUP, ["Finance Managers"])
# No ticket shows it, nor does tokenGroups. A group of security is in it as well.
group("Mail Servers", dsdb.GTYPE_DISTRIBUTION_GLOBAL_GROUP, ["FS01$"])
group("All Mail", dsdb.GTYPE_DISTRIBUTION_GLOBAL_GROUP, ["Mail Servers", "Finance"])
# One common name, two groups.
for number in (1, 2):
    unit = f"OU=Place {number},{base}"
    database.add({"dn": unit, "objectClass": "organizationalUnit"})
    database.add(
        {
            "dn": f"CN=Twins,{unit}",
            "objectClass": "group",
            "sAMAccountName": f"twins-{number}",
            "groupType": str(dsdb.GTYPE_SECURITY_GLOBAL_GROUP),
        }
    )
crowd = str(find("crowd").dn)
for number in range(MANY_GROUPS):
    database.add(
        {
            "dn": f"CN=Team {number},CN=Users,{base}",
            "objectClass": "group",
            "sAMAccountName": f"team{number}",
            "groupType": str(dsdb.GTYPE_SECURITY_GLOBAL_GROUP),
            "member": crowd,
        }
    )
database.transaction_commit()

names = [*users, *(f"{computer}$" for computer in computers)]
names += ["Exchange Servers", "RMS Servers", "RMS Everything", "Finance Managers", "Finance", "team999", "All Mail", "twins-1", "twins-2"]
sids = {name: str(ndr_unpack(security.dom_sid, find(name)["objectSid"][0])) for name in names}
with open(sids_file, "w", encoding="utf-8") as file:
    json.dump(sids, file, indent=1)
