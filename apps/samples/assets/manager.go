package assets

import (
	"errors"
	"fmt"
	"net/http"

	"istio-canary/apps/internal/service"
)

const mostAssets = 1000

// Manager stores assets in memory; each of several replicas has its own.
func Manager() service.Service {
	return service.Service{
		Name:   "asset-manager",
		Listen: ":8080",
		Handler: func(service.Tools) (http.Handler, error) {
			m := manager{newStore(mostAssets, seeds())}
			mux := http.NewServeMux()
			mux.HandleFunc("GET /{$}", welcome("asset-manager"))
			mux.HandleFunc("GET /assets", m.list)
			mux.HandleFunc("GET /assets/type/{type}", m.listType)
			mux.HandleFunc("GET /assets/{id}", m.get)
			mux.HandleFunc("POST /assets", m.post)
			mux.HandleFunc("PUT /assets/{id}", m.put)
			mux.HandleFunc("DELETE /assets/{id}", m.delete)
			return mux, nil
		},
	}
}

// welcome answers at the root, where a proxy leads a prefix to, with the service's name.
func welcome(name string) http.HandlerFunc {
	return func(answer http.ResponseWriter, _ *http.Request) {
		service.WriteJSON(answer, http.StatusOK, map[string]string{"service": name})
	}
}

type manager struct {
	store *store
}

func (m manager) list(answer http.ResponseWriter, _ *http.Request) {
	service.WriteJSON(answer, http.StatusOK, m.store.list(func(Asset) bool { return true }))
}

func (m manager) listType(answer http.ResponseWriter, request *http.Request) {
	wanted := request.PathValue("type")
	service.WriteJSON(answer, http.StatusOK, m.store.list(func(asset Asset) bool { return asset.Type == wanted }))
}

func (m manager) get(answer http.ResponseWriter, request *http.Request) {
	asset, err := m.store.get(request.PathValue("id"))
	if err != nil {
		writeError(answer, err)
		return
	}
	service.WriteJSON(answer, http.StatusOK, asset)
}

// post answers 201 for a new asset, and 200 if the asset replaces one.
func (m manager) post(answer http.ResponseWriter, request *http.Request) {
	asset, err := read(request.Body)
	if err == nil {
		err = asset.check()
	}
	if err != nil {
		service.WriteError(answer, http.StatusBadRequest, err.Error())
		return
	}
	added, err := m.store.save(asset)
	switch {
	case err != nil:
		writeError(answer, err)
	case added:
		service.WriteJSON(answer, http.StatusCreated, asset)
	default:
		service.WriteJSON(answer, http.StatusOK, asset)
	}
}

// put replaces an asset that exists; the body may leave out the id.
func (m manager) put(answer http.ResponseWriter, request *http.Request) {
	id := request.PathValue("id")
	asset, err := read(request.Body)
	if err == nil && asset.ID != "" && asset.ID != id {
		err = fmt.Errorf("the body's id is %.100q, the path's is %.100q", asset.ID, id)
	}
	asset.ID = id
	if err == nil {
		err = asset.check()
	}
	if err != nil {
		service.WriteError(answer, http.StatusBadRequest, err.Error())
		return
	}
	if err := m.store.replace(asset); err != nil {
		writeError(answer, err)
		return
	}
	service.WriteJSON(answer, http.StatusOK, asset)
}

func (m manager) delete(answer http.ResponseWriter, request *http.Request) {
	if err := m.store.remove(request.PathValue("id")); err != nil {
		writeError(answer, err)
		return
	}
	answer.WriteHeader(http.StatusNoContent)
}

func writeError(answer http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, errUnknown):
		service.WriteError(answer, http.StatusNotFound, err.Error())
	case errors.Is(err, errFull):
		service.WriteError(answer, http.StatusInsufficientStorage, err.Error())
	default:
		service.WriteError(answer, http.StatusInternalServerError, err.Error())
	}
}
