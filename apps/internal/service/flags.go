package service

import (
	"errors"
	"flag"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
)

var (
	headerName = regexp.MustCompile(`^[A-Za-z0-9-]+$`)
	plainPath  = regexp.MustCompile(`^(/[^/?#%]+)*$`)
)

// address is the base address of another service: a flag.Value. It is without a slash at its end.
type address string

// URLVar adds a flag for the base address of another service. Its default is the environment's variable of the same
// name, such as ARTICLES_URL for -articles-url, or else the value that `target` has.
func URLVar(flags *flag.FlagSet, target *string, name, usage string) {
	flags.Var((*address)(target), name, usage+"; the variable "+variable(name)+" sets it, too")
}

func (a *address) String() string { return string(*a) }

func (a *address) Set(text string) error {
	parsed, err := url.Parse(text)
	if err != nil {
		return err
	}
	if (parsed.Scheme != "http" && parsed.Scheme != "https") || parsed.Host == "" || parsed.RawQuery != "" {
		return errors.New("it is not a base address such as http://articles:8080")
	}
	*a = address(strings.TrimRight(text, "/"))
	return nil
}

func variable(name string) string {
	return strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// setFromEnvironment sets the flags of other services' addresses. Other flags have no variable: Kubernetes adds
// variables of its own, named after the namespace's Services.
func setFromEnvironment(flags *flag.FlagSet, lookUp func(string) (string, bool)) error {
	var failed error
	flags.VisitAll(func(each *flag.Flag) {
		if _, ok := each.Value.(*address); !ok {
			return
		}
		if text, set := lookUp(variable(each.Name)); set && text != "" && failed == nil {
			if err := each.Value.Set(text); err != nil {
				failed = fmt.Errorf("invalid value %q of the variable %s: %w", text, variable(each.Name), err)
			}
		}
	})
	return failed
}

// prefix is a path such as /shop: a flag.Value. Empty: none.
type prefix string

func (p *prefix) String() string { return string(*p) }

func (p *prefix) Set(text string) error {
	trimmed := strings.TrimRight(text, "/")
	if !plainPath.MatchString(trimmed) {
		return errors.New("it is not a path such as /shop")
	}
	*p = prefix(trimmed)
	return nil
}

// removedFrom returns the path without the prefix, if it has it, and without repeated slashes and dot segments: Istio's
// rewrite of a prefix to / leaves two slashes, and http.ServeMux would redirect to a path without the prefix.
func (p prefix) removedFrom(asked string) string {
	if rest, found := strings.CutPrefix(asked, string(p)); found && (rest == "" || rest[0] == '/') {
		asked = rest
	}
	cleaned := path.Clean("/" + asked)
	if strings.HasSuffix(asked, "/") && cleaned != "/" {
		cleaned += "/"
	}
	return cleaned
}

// headerNames are names of headers: a flag.Value.
type headerNames []string

func (h *headerNames) String() string { return strings.Join(*h, ",") }

func (h *headerNames) Set(text string) error {
	var names headerNames
	for name := range strings.SplitSeq(text, ",") {
		if name = strings.TrimSpace(name); !headerName.MatchString(name) {
			return fmt.Errorf("%q is not the name of a header", name)
		}
		names = append(names, name)
	}
	*h = names
	return nil
}
