"""Linux without VXLAN: system calls, namespaces, programs, waiting for conditions."""
