module istio-canary/sandbox/http-echo

go 1.26

require github.com/hashicorp/http-echo v1.0.0

tool github.com/hashicorp/http-echo
