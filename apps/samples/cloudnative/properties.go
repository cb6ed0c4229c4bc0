package cloudnative

import "strings"

// property returns the last value of the property in a Java properties file; empty if there is none. Of the format, it
// knows comments, and '=' or ':' after the name; neither escapes nor lines that continue.
func property(text, name string) string {
	value := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, "!") {
			continue
		}
		if end := strings.IndexAny(line, "=:"); end >= 0 && strings.TrimSpace(line[:end]) == name {
			value = strings.TrimSpace(line[end+1:])
		}
	}
	return value
}
