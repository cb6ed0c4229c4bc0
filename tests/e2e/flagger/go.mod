module istio-canary/tests/flagger

go 1.26.1

require github.com/fluxcd/flagger v1.36.1 // for its CRDs alone
