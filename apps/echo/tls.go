package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// tlsFrom reads a certificate, its key, and the CA that must have issued callers' certificates. It returns nil without
// a certificate; without a CA, callers need none.
func tlsFrom(certificate, key, authority string) (*tls.Config, error) {
	if certificate == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if authority == "" {
		return config, nil
	}
	text, err := os.ReadFile(authority)
	if err != nil {
		return nil, err
	}
	config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s contains no PEM certificate", authority)
	}
	return config, nil
}
