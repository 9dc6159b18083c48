# iptables-save
*filter
:INPUT DROP [0:0]
-A INPUT -p tcp --dport 443 -j ACCEPT
COMMIT
