package assets

import (
	"encoding/json"
	"flag"
	"net/http"

	"istio-canary/apps/internal/service"
)

const managerURL = "http://asset-mgr-ms-svc:8080" // its Service's name in DNS, in the namespace of the caller

// BFF is the backend for the dashboard's frontend: it answers with the manager's assets, and with none when the manager
// fails.
func BFF() service.Service {
	b := &bff{manager: managerURL}
	return service.Service{Name: "asset-bff", Listen: ":8080", Calls: true, Flags: b.flags, Handler: b.handler}
}

type bff struct {
	manager string
	service.Tools
}

func (b *bff) flags(flags *flag.FlagSet) {
	service.URLVar(flags, &b.manager, "manager-url", "address of asset-manager")
}

func (b *bff) handler(tools service.Tools) (http.Handler, error) {
	b.Tools = tools
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", welcome("asset-bff"))
	mux.HandleFunc("GET /assets", b.list)
	return mux, nil
}

func (b *bff) list(answer http.ResponseWriter, request *http.Request) {
	var assets []json.RawMessage
	err := b.Calls.Get(request.Context(), request.Header, b.manager+"/assets", &assets)
	if err != nil {
		b.LogFailure(request.Context(), "no assets, because asset-manager failed", err, request.Header)
	}
	if err != nil || assets == nil {
		assets = []json.RawMessage{}
	}
	service.WriteJSON(answer, http.StatusOK, assets)
}
