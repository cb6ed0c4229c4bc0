// Package assets has the services of the sample assets: a manager of assets, a dashboard's backend, and a consumer that
// posts what assets report.
package assets

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
)

// Asset is a machine in the field, and what it last reported.
type Asset struct {
	ID          string  `json:"id"`
	Type        string  `json:"type"`
	OS          string  `json:"os"`
	Version     string  `json:"version"`
	IPAddress   string  `json:"ipAddress"`
	Antivirus   string  `json:"antivirus"`
	Rotation    float64 `json:"rotation"`    // revolutions per minute
	Current     float64 `json:"current"`     // ampere
	Pressure    float64 `json:"pressure"`    // bar
	FlowRate    float64 `json:"flowRate"`    // litres per minute
	Temperature float64 `json:"temperature"` // degrees Celsius
	Latitude    float64 `json:"latitude"`
	Longitude   float64 `json:"longitude"`
}

const textBytes = 128 // limit of an asset's texts

var name = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`) // of an asset or a type: a segment of a path

// seeds returns the assets that exist at the start.
func seeds() []Asset {
	pump := func(id, address string, latitude, longitude float64) Asset {
		return Asset{
			ID: id, Type: "pump", OS: "linux", Version: "1.0", IPAddress: address, Antivirus: "none",
			Rotation: 1450, Current: 4, Pressure: 6, FlowRate: 120, Temperature: 40,
			Latitude: latitude, Longitude: longitude,
		}
	}
	fan := pump("LA03", "10.3.0.3", 34.1, -118.3)
	fan.Type, fan.Pressure, fan.FlowRate = "fan", 1, 9000
	return []Asset{
		pump("DAL01", "10.1.0.1", 32.8, -96.8),
		pump("HOU01", "10.2.0.1", 29.8, -95.4),
		pump("LA01", "10.3.0.1", 34.1, -118.2),
		pump("LA02", "10.3.0.2", 34.0, -118.2),
		fan,
		pump("ND01", "10.4.0.1", 47.5, -100.5),
	}
}

// read reads an asset in JSON, and refuses unknown fields.
func read(from io.Reader) (Asset, error) {
	var asset Asset
	decoder := json.NewDecoder(from)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&asset); err != nil {
		return asset, fmt.Errorf("the body is not an asset in JSON: %w", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return asset, errors.New("the body is not an asset in JSON: there is more after it")
	}
	return asset, nil
}

func (a Asset) check() error {
	for _, field := range [][2]string{{"id", a.ID}, {"type", a.Type}} {
		if !name.MatchString(field[1]) || field[1] == "." || field[1] == ".." { // which a path has another meaning for
			return fmt.Errorf(
				"%s is %.100q; allowed: 1 to 64 letters, digits, '.', '_' and '-', except . and ..", field[0], field[1],
			)
		}
	}
	for _, field := range [][2]string{
		{"os", a.OS}, {"version", a.Version}, {"ipAddress", a.IPAddress}, {"antivirus", a.Antivirus},
	} {
		if len(field[1]) > textBytes {
			return fmt.Errorf("%s is longer than %d bytes", field[0], textBytes)
		}
	}
	return nil
}
